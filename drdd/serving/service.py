"""The interface between the API and the service that restores."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from drdd.errors import UserError
from drdd.inference.engine import Restoration, Watch
from drdd.inference.given import AnyPixels
from drdd.inference.options import Options
from drdd.pictures.pixels import Hole


class UnknownModelError(UserError):
    """The model is not served; the message lists those that are."""


class BusyError(Exception):
    """The queue is full. retry_after_s: when to retry."""

    def __init__(self, retry_after_s: float) -> None:
        super().__init__(retry_after_s)
        self.retry_after_s = retry_after_s


@dataclass(frozen=True)
class ServedModel:
    """tasks: the scale of each, by name; metrics: metrics.json of the version; loaded: ISO time.

    problem: why a newer one is not served.
    """

    alias: str
    version: str
    tasks: Mapping[str, int]
    metrics: Mapping[str, Any]
    loaded: str
    problem: str | None = None


@dataclass(frozen=True)
class Checked:
    """What would restore now. version: of the model; scale: of the output, to the input's size."""

    version: str
    scale: int = 1


@dataclass(frozen=True)
class Answer:
    """seconds: of inference; waited: seconds before it; batch: pictures restored together."""

    restoration: Restoration
    model: ServedModel
    seconds: float
    waited: float
    batch: int


class Service(Protocol):
    async def restore(
        self,
        pixels: AnyPixels,
        options: Options,
        model: str | None,
        hole: Hole | None = None,
        watch: Watch | None = None,
    ) -> Answer:
        """watch: of a job, which may take minutes and gives way to requests."""

    def check(self, options: Options, model: str | None, masked: bool = False) -> Checked:
        """Raises UnknownModelError, UserError for what this model does not support."""

    def models(self) -> list[ServedModel]: ...

    def ready(self) -> str | None: ...

    def waiting(self) -> int: ...
