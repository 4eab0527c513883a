"""The models in service. Each follows an alias: a new version is loaded, then replaces the old one.

Requests finish with the model they began with. If a version does not load, the old one keeps serving; the
failure is reported, and loading is retried only when the alias moves or after AGAIN_S.
"""

import json
import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch

from drdd.diffusion.keyed import keyed_noise
from drdd.errors import TransientError, UserError
from drdd.gates.judgement import Judgement
from drdd.inference.engine import Restorer
from drdd.inference.options import Options
from drdd.serving.published import Source
from drdd.serving.service import ServedModel, UnknownModelError
from drdd.shown import short

AGAIN_S = 600.0  # before loading a failed version is retried
PROBE = 64  # side in pixels of the picture that a model must restore before it serves
METRICS = "metrics.json"
log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Loaded:
    """A loaded version. metrics: its metrics.json, or {}; loaded: ISO 8601, UTC."""

    version: str
    folder: Path
    restorer: Restorer
    metrics: Mapping[str, Any]
    loaded: str


@dataclass(frozen=True)
class _Failure:
    """Why an alias does not serve its version. version: "" if there is none; at: monotonic time."""

    version: str
    said: str
    at: float


@dataclass(frozen=True)
class _Slot:
    """What an alias serves, and why this is not the version to which it points, if so."""

    loaded: Loaded | None = None
    failure: _Failure | None = None

    @property
    def problem(self) -> str | None:
        if self.failure is None:
            return None
        rest = (
            f"{short(self.loaded.version)} serves" if self.loaded else "nothing is served instead"
        )
        return f"{self.failure.said}; {rest}"


class Models:
    """The models of the aliases; the first alias is the default.

    load: folder -> a working restorer; raises an exception otherwise. failures: number of failed loads so
    far. `start` and `follow` may take long and should run in a thread; other methods never wait for them.
    """

    def __init__(
        self,
        aliases: Sequence[str],
        source: Source,
        load: Callable[[Path], Restorer],
        again_s: float = AGAIN_S,
    ) -> None:
        self._source, self._load, self._again_s = source, load, again_s
        self._slots = {alias: _Slot() for alias in aliases}
        self._default = aliases[0]
        self._following = threading.Lock()
        self.failures = 0

    def start(self) -> None:
        """Load the version of every alias, or else the latest of its earlier versions that loads.

        Raises UserError when no version of the default alias loads, TransientError when the registry does
        not answer.
        """
        for alias in self._slots:
            self._turn(alias, self._source.versions(alias))
        default = self._slots[self._default]
        if default.loaded is None:
            raise UserError(f"{self._default}: {default.problem}")

    def follow(self) -> None:
        """Check the aliases and load new versions. If the registry does not answer, nothing changes."""
        with self._following:
            for alias in self._slots:
                try:
                    versions = self._source.versions(alias)
                    self._turn(
                        alias, versions if self._slots[alias].loaded is None else versions[:1]
                    )
                except TransientError as error:
                    log.warning("%s is served as before: %s", alias, error)
                except Exception as error:
                    failure = self._failure("", f"the alias cannot be followed: {error}")
                    self._put(alias, _Slot(self._slots[alias].loaded, failure))

    def find(self, name: str | None) -> tuple[Loaded, ServedModel]:
        """The model of an alias or a full version id; None: the default. Raises UnknownModelError."""
        for alias, slot in self._slots.items():
            if slot.loaded and (name or self._default) in (alias, slot.loaded.version):
                return slot.loaded, _served(alias, slot.loaded, slot.problem)
        there = ", ".join(f"{one.alias} ({one.version})" for one in self.served())
        raise UnknownModelError(f"no model {name!r} is served; there are: {there or 'none yet'}")

    def served(self) -> list[ServedModel]:
        return [
            _served(alias, slot.loaded, slot.problem)
            for alias, slot in self._slots.items()
            if slot.loaded
        ]

    def problems(self) -> dict[str, str]:
        """The problems by alias, including aliases without a model."""
        return {alias: slot.problem for alias, slot in self._slots.items() if slot.problem}

    def ready(self) -> str | None:
        """The reason why the default alias is not served, or None."""
        slot = self._slots[self._default]
        return None if slot.loaded else slot.problem or f"{self._default} is being loaded"

    def _turn(self, alias: str, versions: Sequence[str]) -> None:
        """Serve the first of `versions` that loads or is already served."""
        slot = self._slots[alias]
        first: _Failure | None = None
        if not versions:
            first = self._failure("", f"the registry has no alias {alias!r}")
        for version in versions:
            found = self._tried(slot, version)
            if isinstance(found, Loaded):
                self._put(alias, _Slot(found, first))
                return
            first = first or found
        self._put(alias, _Slot(slot.loaded, first))

    def _tried(self, slot: _Slot, version: str) -> Loaded | _Failure:
        """Load a version, or return the failure. Raises only TransientError."""
        if slot.loaded and slot.loaded.version == version:
            return slot.loaded
        known = slot.failure
        if known and known.version == version and time.monotonic() - known.at < self._again_s:
            return known
        try:
            return self._loaded(version)
        except TransientError:
            raise
        except Exception as error:
            self.failures += 1
            return self._failure(version, f"version {short(version)} does not load: {error}")

    def _failure(self, version: str, said: str) -> _Failure:
        return _Failure(version, said, time.monotonic())

    def _loaded(self, version: str) -> Loaded:
        """Load a version, or share it with another alias that serves it."""
        for slot in self._slots.values():
            if slot.loaded and slot.loaded.version == version:
                return slot.loaded
        folder = self._source.folder(version)
        restorer = self._load(folder)
        now = datetime.now(UTC).isoformat(timespec="seconds")
        return Loaded(version, folder, restorer, _metrics(folder), now)

    def _put(self, alias: str, slot: _Slot) -> None:
        """Replace a slot atomically for readers."""
        before = self._slots[alias]
        self._slots = {**self._slots, alias: slot}
        if slot.loaded and slot.loaded is not before.loaded:
            log.info("%s is version %s now", alias, short(slot.loaded.version))
        if slot.problem and slot.problem != before.problem:
            log.error("%s: %s", alias, slot.problem)


def load_checked(folder: Path, device: str = "cpu") -> Restorer:
    """Load a restorer and test it on a picture.

    Raises UserError when the folder holds no valid model, or the model gives non-finite values.
    """
    restorer = Restorer.from_folder(folder, device)
    _demand_finite(restorer)
    probe(restorer)
    return restorer


def probe(restorer: Restorer) -> None:
    """Restore a tiny picture. Raises the error of the model, if it fails."""
    picture = np.linspace(0, 255, PROBE * PROBE * 3, dtype=np.uint8).reshape(PROBE, PROBE, 3)
    restorer.restore(picture, Options(scale=restorer.model.scales[0]))


@torch.inference_mode()
def _demand_finite(restorer: Restorer) -> None:
    model = restorer.model
    side = model.factor * -(-PROBE // model.factor)
    device = next(model.nets["residual"].parameters()).device
    x = torch.linspace(-1, 1, side * side * 3, device=device).reshape(1, 3, side, side)
    if not bool(torch.isfinite(model.restore(x, keyed_noise(0, ["probe"], x))).all()):
        raise UserError("its answer to a plain picture holds values that are NaN or infinite")


def _metrics(folder: Path) -> Mapping[str, Any]:
    """The metrics.json of a model folder, or {}: a model can serve without metrics."""
    try:
        judged = Judgement.of(json.loads((folder / METRICS).read_bytes()))
    except (OSError, ValueError):
        return {}
    return judged.model_dump(mode="json", exclude_unset=True) if judged else {}


def _served(alias: str, loaded: Loaded, problem: str | None) -> ServedModel:
    tasks = {name: use.scale for name, use in loaded.restorer.model.tasks.items()}
    return ServedModel(alias, loaded.version, tasks, loaded.metrics, loaded.loaded, problem)
