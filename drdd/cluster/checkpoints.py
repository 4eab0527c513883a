"""Checkpoints of one run in a folder or on S3: written atomically and asynchronously, verified when read.

    000000003200-<first 16 hexadecimal digits of its SHA-256>.pt    the state after 3200 images
    000000003200.json                                               its manifest, written last

A checkpoint exists only with its manifest. Any other object is a leftover of a killed writer: it is never
read, and the next save deletes it. So a writer may die at any moment, and if two write the same checkpoint,
one of them wins completely.
"""

import io
import json
import math
import re
import time
import uuid
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from hashlib import sha256
from threading import Lock
from typing import Any

import torch
from torch import Tensor, nn

from drdd.errors import TransientError, UserError
from drdd.storage.objects import Store
from drdd.training.learner import TrainState

WAITS_S = (1, 2, 4)  # pauses before each retry of a failed save
_OBJECT = re.compile(r"\.?(\d{12})(\.json|-[0-9a-f]{16}\.pt).*")
_MANIFEST = re.compile(r"\d{12}\.json")
_PLAIN = (type(None), bool, int, float, str)


@dataclass(frozen=True)
class Mark:
    """The manifest of a checkpoint.

    step: optimiser steps done; images: seen in these steps; network: see `network_digest`; sha256, size
    (bytes): of the data; psnr: of the validation at this step, in dB, if any.
    """

    step: int
    images: int
    network: str
    sha256: str
    size: int
    psnr: float | None

    @property
    def manifest(self) -> str:
        return f"{self.images:012}.json"

    @property
    def data(self) -> str:
        return f"{self.images:012}-{self.sha256[:16]}.pt"


class _DamagedError(Exception):
    """The message says what is wrong with a checkpoint."""


class Checkpoints:
    """The checkpoints of one run at `uri`, its own folder or s3:// prefix.

    Every method raises UserError when the store refuses or is full, TransientError when it does not
    answer. warnings: what the last `newest` had to skip, in sentences.
    """

    def __init__(self, uri: str, keep: int) -> None:
        """keep: number of newest checkpoints to keep, at least 1; the best one is kept as well."""
        self.uri, self._store, self._keep = uri, Store(uri), keep
        self.warnings: list[str] = []

    def marks(self) -> list[Mark]:
        """The complete checkpoints, oldest first. Their data exist, but are not read here."""
        names = self._store.names("")
        found = []
        for name in filter(_MANIFEST.fullmatch, names):
            try:
                mark = self._mark(name)
            except _DamagedError:
                continue
            if mark.data in names:
                found.append(mark)
        return found

    def save(
        self, state: TrainState, step: int, images: int, network: str, psnr: float | None = None
    ) -> Mark:
        """Write a checkpoint, then delete older ones that are neither among the newest nor the best.

        A checkpoint at the same number of images is replaced. psnr: a non-finite value counts as None.
        """
        buffer = io.BytesIO()
        torch.save(state, buffer)
        content = buffer.getvalue()
        if psnr is not None and not math.isfinite(psnr):
            psnr = None
        mark = Mark(step, images, network, sha256(content).hexdigest(), len(content), psnr)
        self._store.put(mark.data, content)
        self._store.put(mark.manifest, _described(mark))
        self._prune(images)
        return mark

    def newest(self) -> tuple[TrainState, Mark] | None:
        """The newest undamaged checkpoint, or None; tensors are on the CPU."""
        manifests = list(filter(_MANIFEST.fullmatch, self._store.names("")))
        damaged: list[tuple[int, str]] = []
        found = None
        while manifests and found is None:
            name = manifests.pop()
            try:
                mark = self._mark(name)
                found = self._state(mark), mark
            except _DamagedError as error:
                damaged.append((_images(name), str(error)))
        then = f"going on from image {found[1].images}" if found else "no other is whole"
        self.warnings = [
            f"checkpoint at image {images} in {self.uri} is damaged ({reason}); {then}"
            for images, reason in damaged
        ]
        return found

    def state(self, mark: Mark) -> TrainState:
        """The state of one checkpoint. Raises TransientError when it cannot be read completely."""
        try:
            return self._state(mark)
        except _DamagedError as error:
            raise TransientError(
                f"checkpoint at image {mark.images} in {self.uri}: {error}"
            ) from error

    def probe(self) -> None:
        """Write, read and delete a small object, to find an unusable store before training."""
        name, content = f"probe-{uuid.uuid4().hex}", uuid.uuid4().bytes
        self._store.put(name, content)
        given = self._store.get(name)
        self._store.delete(name)
        if given != content:
            raise UserError(
                f"{self.uri}: does not give back what was just written; use another store"
            )

    def discard(self) -> None:
        """Delete everything of the run."""
        for name in self._store.names("", unfinished=True):
            self._store.delete(name)

    def _prune(self, images: int) -> None:
        """Delete old checkpoints after a save at `images`.

        Newer objects stay: another writer may need them.
        """
        marks = [mark for mark in self.marks() if mark.images <= images]
        measured = [mark for mark in marks if mark.psnr is not None]
        best = max(measured, key=lambda mark: (mark.psnr, mark.images), default=None)
        kept = {
            name
            for mark in (*marks[-self._keep :], *([best] if best else []))
            for name in (mark.manifest, mark.data)
        }
        names = self._store.names("", unfinished=True)
        for name in sorted(names, key=lambda name: not _MANIFEST.fullmatch(name)):
            if _OBJECT.fullmatch(name) and _images(name) < images and name not in kept:
                self._store.delete(name)

    def _mark(self, name: str) -> Mark:
        """Raises _DamagedError unless `name` holds exactly what `_described` gives."""
        content = self._store.get(name) or b""
        try:
            fields = json.loads(content)
            del fields["check"]
            mark = Mark(**fields)
            if _described(mark) == content and mark.manifest == name:
                return mark
        except (ValueError, KeyError, TypeError, AttributeError):
            pass
        raise _DamagedError("its manifest is not what was written")

    def _state(self, mark: Mark) -> TrainState:
        content = self._store.get(mark.data, mark.size)
        if content is None:
            raise _DamagedError("its data are missing")
        if len(content) != mark.size:
            raise _DamagedError(f"{len(content)} bytes instead of {mark.size}")
        if sha256(content).hexdigest() != mark.sha256:
            raise _DamagedError("SHA-256 differs")
        try:
            state: TrainState = torch.load(
                io.BytesIO(content), map_location="cpu", weights_only=True
            )
        except Exception as error:  # another version of torch may raise anything
            raise _DamagedError(f"{type(error).__name__} when it was read") from error
        return state


class Saver:
    """Saves checkpoints in its own thread, so that training does not wait.

    A failed save is retried after each of WAITS_S; then `tell` is called with a sentence, in that thread,
    and training continues. Host memory holds up to three states: one being saved, one waiting, and one
    that replaces it.
    """

    def __init__(self, checkpoints: Checkpoints, tell: Callable[[str], None]) -> None:
        self._checkpoints, self._tell = checkpoints, tell
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="checkpoints")
        self._lock = Lock()
        self._waiting: tuple[int, Callable[[], Mark]] | None = None
        self._last: Future[None] | None = None
        self._failure: Exception | None = None

    def submit(
        self, state: TrainState, step: int, images: int, network: str, psnr: float | None = None
    ) -> None:
        """Save a snapshot of `state`. It replaces an earlier submission whose save has not begun."""
        save = partial(self._checkpoints.save, snapshot(state), step, images, network, psnr)
        with self._lock:
            self._waiting = images, save
        self._last = self._thread.submit(self._save_waiting)

    def flush(self) -> None:
        """Wait for all saves. Raises the error of the last one, if it failed."""
        if self._last is not None:
            self._last.result()
        if self._failure is not None:
            raise self._failure

    def _save_waiting(self) -> None:
        with self._lock:
            waiting, self._waiting = self._waiting, None
        if waiting is None:  # the thread has already saved the newer state
            return
        images, save = waiting
        for pause in (0, *WAITS_S):
            time.sleep(pause)
            self._failure = _failure(save)
            if self._failure is None:
                return
        self._tell(
            f"checkpoint at image {images} was not saved ({self._failure}); training goes on, and "
            "would resume from the one before"
        )


def _failure(save: Callable[[], Mark]) -> Exception | None:
    """The error of `save` for `flush` to raise, without its frames, which would keep states in memory."""
    try:
        save()
    except Exception as error:
        error.__cause__ = error.__context__ = None
        return error.with_traceback(None)
    return None


def snapshot(state: TrainState) -> TrainState:
    """A copy on the CPU that shares no memory with `state`.

    Raises TypeError for values that a checkpoint cannot hold: anything but tensors, None, bool, int, float,
    str, and dicts, lists and tuples of these (subclasses become the base type).
    """
    return {key: _copied(value, str(key)) for key, value in state.items()}


def _copied(value: Any, where: str) -> Any:
    if isinstance(value, Tensor):
        return value.detach().to("cpu", copy=True)
    if isinstance(value, dict):
        return {key: _copied(item, f"{where}.{key}") for key, item in value.items()}
    if isinstance(value, list | tuple):
        items = [_copied(item, f"{where}.{index}") for index, item in enumerate(value)]
        return items if isinstance(value, list) else tuple(items)
    if type(value) in _PLAIN:
        return value
    raise TypeError(
        f"{where} of the state is a {type(value).__name__}, which no checkpoint can hold"
    )


def network_digest(net: nn.Module) -> str:
    """The SHA-256 over the names and shapes of the weights, in order.

    The order matters, because the optimiser's state depends on it. Pass the network itself, not a wrapper.
    """
    lines = [f"{name} {tuple(value.shape)}\n" for name, value in net.state_dict().items()]
    return sha256("".join(lines).encode()).hexdigest()


def _described(mark: Mark) -> bytes:
    """The bytes of the manifest, which include a digest of its content."""
    fields = asdict(mark)
    check = sha256(json.dumps(fields).encode()).hexdigest()
    return (json.dumps({**fields, "check": check}, indent=2, allow_nan=False) + "\n").encode()


def _images(name: str) -> int:
    return int(name.lstrip(".")[:12])
