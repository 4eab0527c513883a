"""The interface of a network family: a configuration whose settings come from params.yaml.

Reading params.yaml imports the files of all families, so they import torch only where a network is made.
"""

import json
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import MISSING, dataclass
from dataclasses import fields as fields_of
from functools import cache
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

from pydantic import BaseModel, ConfigDict, create_model
from pydantic.fields import FieldInfo

from drdd.settings import Section

if TYPE_CHECKING:
    from torch import nn

LEVELS, DEEPEST, WIDEST = 16, 64, 2**16  # levels, blocks of one, channels or any other number
Config = TypeVar("Config", bound="type[NetworkConfig]")


@dataclass(frozen=True)
class NetworkConfig(ABC):
    """The configuration of a network. A subclass is a frozen dataclass decorated with `@family`.

    A field annotated with a pydantic `Field` is a setting of params.yaml with its range; the others depend
    on the role of the network or come from a checkpoint.
    family: the name; wide: whether feature maps are as wide as the paper's, see `training_format`;
    in_channels: 3 for an image, 6 for an image and its condition; out_channels: 3, or 6 for two heads.
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

        Called with (B, in_channels, H, W), time (B,) in [0, T] and, if `context`, what context.py makes of
        the degraded pictures, it returns (B, out_channels, H, W).
        """

    @property
    def context(self) -> bool:
        """Whether the network takes a third argument, the context of the degraded picture: context.py."""
        return False

    def for_restoring(self) -> Self:
        """This configuration for a network that predicts I_res in its first three output channels.

        Of the input, the last three channels are the degraded picture.
        """
        return self

    def for_inference(self, net: "nn.Module") -> "nn.Module":
        """`net`, or a faster network that computes the same function."""
        return net


class NetworkSettings(Section):
    """The section of a network in params.yaml."""

    family: str

    @property
    def factor(self) -> int:
        """Crops must be multiples of this."""
        return network_config(in_channels=3, **self.model_dump()).factor


FAMILIES: dict[str, type[NetworkConfig]] = {}
SETTINGS: dict[str, type[NetworkSettings]] = {}
"""By name, filled when the files of families are imported; `families.py` imports all."""


def family(config: Config) -> Config:
    """Register a configuration as a family. Raises ValueError for a name that is taken."""
    name = config.family
    if name in FAMILIES:
        raise ValueError(f"there are two families of networks called {name!r}")
    FAMILIES[name], SETTINGS[name] = config, _settings_of(config)
    return config


def network_config(
    family: str, in_channels: int, out_channels: int = 3, **fields: Any
) -> NetworkConfig:
    """Make a configuration from settings, such as family "compact" with channels [48, 96]."""
    plain: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value for name, value in fields.items()
    }
    return FAMILIES[family](in_channels=in_channels, out_channels=out_channels, **plain)


def read_config(fields: Mapping[str, Any]) -> NetworkConfig:
    """The configuration in a file of a stranger.

    Raises ValueError, with what is wrong, unless each field is known, of its type, and no larger than any
    network's. Ranges of settings are narrower: checkpoints of others have what params.yaml does not offer.
    """
    named = dict(fields)
    name = named.pop("family", None)
    found = FAMILIES.get(name) if isinstance(name, str) else None
    if found is None:
        raise ValueError(f"there is no family of networks {str(name)[:40]!r}")
    _checked(found).model_validate_json(json.dumps(named))
    config = network_config(found.family, **named)
    for field in fields_of(config):
        value = getattr(config, field.name)
        numbers = value if isinstance(value, tuple) else (value,)
        most = DEEPEST if field.name == "blocks" else WIDEST
        if len(numbers) > LEVELS or not all(0 <= number <= most for number in numbers):
            raise ValueError(f"{field.name} of a network is {str(value)[:40]}")
    return config


@cache
def _checked(config: type[NetworkConfig]) -> type[BaseModel]:
    """The types of a configuration's fields, which all must be there but those with a default."""
    hints = get_type_hints(config)
    given = {
        field.name: (hints[field.name], ... if field.default is MISSING else field.default)
        for field in fields_of(config)
    }
    strict = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)
    return create_model(config.__name__, __config__=strict, **given)  # type: ignore[call-overload]


def network_settings(family: str, **fields: Any) -> NetworkSettings:
    """Make the section of a network from settings; missing ones have their defaults."""
    return SETTINGS[family](family=family, **fields)


class _FamilySettings(NetworkSettings):
    def __reduce__(self) -> tuple[Any, ...]:
        """The class is created at run time, so pickle cannot find it by name."""
        return _unpickled, (FAMILIES[self.family], self.model_dump())


def _unpickled(config: type[NetworkConfig], content: dict[str, Any]) -> NetworkSettings:
    return SETTINGS[config.family](**content)


def _settings_of(config: type[NetworkConfig]) -> type[NetworkSettings]:
    """The schema of the fields with a `Field`; tuples are lists, as in YAML."""
    hints = get_type_hints(config, include_extras=True)
    chosen: dict[str, Any] = {"family": (Literal[config.family], config.family)}
    for field in fields_of(config):
        hint, default = hints[field.name], field.default
        if not any(isinstance(mark, FieldInfo) for mark in getattr(hint, "__metadata__", ())):
            continue
        kind, *marks = get_args(hint)
        if get_origin(kind) is tuple:
            kind, default = list[get_args(kind)[0]], list(default)  # type: ignore[misc,arg-type]
        chosen[field.name] = (Annotated[(kind, *marks)], default)
    return create_model(f"{config.family}_settings", __base__=_FamilySettings, **chosen)
