"""How a family of networks is added: one configuration, of which params.yaml may set a part.

All who read params.yaml import the files of families, so these import torch where a network is made.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass, fields
from typing import (
    TYPE_CHECKING,
    Annotated,
    Any,
    ClassVar,
    Literal,
    Self,
    TypeVar,
    get_args,
    get_origin,
    get_type_hints,
)

from pydantic import create_model
from pydantic.fields import FieldInfo

from drdd.settings import Section

if TYPE_CHECKING:
    from torch import nn

Config = TypeVar("Config", bound="type[NetworkConfig]")


@dataclass(frozen=True)
class NetworkConfig(ABC):
    """All that a network is made from. A subclass is a frozen dataclass under `@family`.

    A field that is annotated with a pydantic `Field` is a setting of params.yaml, in its range; the
    others follow from what the network is for, or from the checkpoint that it is read from.
    family: the name. wide: whether maps are as wide as the paper's, see `training_format`.
    in_channels: 3 for an image, 6 for an image with its condition below; out_channels: 3, or 6 for
    two heads.
    """

    family: ClassVar[str]
    wide: ClassVar[bool] = False
    in_channels: int
    out_channels: int = 3

    @property
    @abstractmethod
    def factor(self) -> int:
        """Height and width must be multiples of this."""

    @abstractmethod
    def network(self) -> "type[nn.Module]":
        """The class of the network, which takes this configuration and keeps it as its `config`.

        Called with (B, in_channels, H, W) and time (B,) in [0, T], it returns (B, out_channels, H, W).
        """

    def with_difference(self) -> Self:
        """For an image beside its condition: with the family's way to see their difference, if any."""
        return self

    def for_inference(self, net: "nn.Module") -> "nn.Module":
        """A network of this configuration, or a faster one of the same function."""
        return net


class NetworkSettings(Section):
    """What params.yaml says of a network."""

    family: str

    @property
    def factor(self) -> int:
        """Crops must be multiples of this."""
        return network_config(in_channels=3, **self.model_dump()).factor


FAMILIES: dict[str, type[NetworkConfig]] = {}
SETTINGS: dict[str, type[NetworkSettings]] = {}
"""By name, as the files of families are imported: `families.py` imports all."""


def family(config: Config) -> Config:
    """Declares a configuration to be a family. Raises ValueError for a name that is taken."""
    name = config.family
    if name in FAMILIES:
        raise ValueError(f"there are two families of networks called {name!r}")
    FAMILIES[name], SETTINGS[name] = config, _settings_of(config)
    return config


def network_config(
    family: str, in_channels: int, out_channels: int = 3, **fields: Any
) -> NetworkConfig:
    """From plain settings, such as family "compact" with channels [48, 96]."""
    plain: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value for name, value in fields.items()
    }
    return FAMILIES[family](in_channels=in_channels, out_channels=out_channels, **plain)


def network_settings(family: str, **fields: Any) -> NetworkSettings:
    """What params.yaml says, from plain settings; what they leave out has its default."""
    return SETTINGS[family](family=family, **fields)


class _FamilySettings(NetworkSettings):
    def __reduce__(self) -> tuple[Any, ...]:
        """The class is made here, so pickle does not find it by its name."""
        return _unpickled, (FAMILIES[self.family], self.model_dump())


def _unpickled(config: type[NetworkConfig], content: dict[str, Any]) -> NetworkSettings:
    return SETTINGS[config.family](**content)


def _settings_of(config: type[NetworkConfig]) -> type[NetworkSettings]:
    """The schema of the fields with a `Field`; tuples are lists, as in YAML."""
    hints = get_type_hints(config, include_extras=True)
    chosen: dict[str, Any] = {"family": (Literal[config.family], config.family)}
    for field in fields(config):
        hint, default = hints[field.name], field.default
        if not any(isinstance(mark, FieldInfo) for mark in getattr(hint, "__metadata__", ())):
            continue
        kind, *marks = get_args(hint)
        if get_origin(kind) is tuple:
            kind, default = list[get_args(kind)[0]], list(default)  # type: ignore[misc,arg-type]
        chosen[field.name] = (Annotated[(kind, *marks)], default)
    return create_model(f"{config.family}_settings", __base__=_FamilySettings, **chosen)
