"""Progress of long work: a bar with an ETA on a terminal, otherwise occasional lines, and a status file.

The file, .drdd/progress/<stage>.json, is how a flow or another shell follows a stage of another process:
its progress, Ray job, messages and outcome.
"""

import json
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import psutil
from rich.console import RenderableType
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.text import Text

from drdd.errors import Failure, failure_of
from drdd.files import write_json
from drdd.shown import console, printable

FOLDER = Path(".drdd/progress")
LINE_EVERY_S = 10.0
WRITE_EVERY_S = 0.5  # a stage may report every pair; those who watch look about once a second
KEPT_SENTENCES = 20


@dataclass(frozen=True)
class Status:
    """state: running, done or failed; eta_s: remaining seconds, None if unknown; note: the last remark.

    updated: Unix time of the last change; began: Unix time of the process's start; ray_job: number of the
    stage's job on a shared Ray cluster; said: the last messages for the user; failure: why it failed;
    outcome: how its outputs got to DVC's cache (flows.reproduce), "" until then.
    """

    stage: str
    state: str
    done: int = 0
    total: int = 0
    unit: str = ""
    note: str = ""
    eta_s: float | None = None
    updated: float = 0.0
    began: float = 0.0
    ray_job: str = ""
    said: tuple[str, ...] = ()
    failure: Failure | None = None
    outcome: str = ""


class Reporter:
    """Reports by `update`. The position of the first call is where this process began or resumed."""

    def __init__(self, stage: str, root: Path = Path()) -> None:
        self._root = root
        self._status = Status(stage, "running", began=psutil.Process().create_time())
        self._console = console(stderr=True)
        self._bar: _Bar | None = None
        self._lock = threading.Lock()
        self._later: threading.Timer | None = None  # a write that is due
        self._began: tuple[float, int] | None = None
        self._last_line = 0.0
        self._written = 0.0
        self._write()

    def update(self, done: int, total: int, unit: str, note: str = "") -> None:
        """Note how far the work is. It is on disk within WRITE_EVERY_S, the end of the work at once."""
        now = time.monotonic()
        if self._began is None:
            self._began = (now, done)
        began, first = self._began
        eta = (now - began) / (done - first) * (total - done) if done > first else None
        self._status = replace(
            self._status, done=done, total=total, unit=unit, note=note, eta_s=eta
        )
        self._write_soon(at_once=done == total)
        self._show(now)

    def say(self, sentence: str) -> None:
        """Print a message for the user, above the bar."""
        line = printable(f"{self._status.stage}: {sentence}", lines=True)
        self._console.print(line, soft_wrap=True)
        said = (*self._status.said, sentence)[-KEPT_SENTENCES:]
        self._status = replace(self._status, said=said)
        self._write()

    def ray_job(self, number: str) -> None:
        self._status = replace(self._status, ray_job=number)
        self._write()

    def finish(self, state: str, note: str = "", failure: Failure | None = None) -> None:
        if self._bar is not None:
            self._bar.stop()
        if state == "done" and note:
            self.say(note)
        note = note or self._status.note
        self._status = replace(self._status, state=state, note=note, eta_s=None, failure=failure)
        self._write()

    def _write(self) -> None:
        """Write the status file. A full disk does not stop the work."""
        with self._lock:
            if self._later is not None:
                self._later.cancel()
                self._later = None
            with suppress(OSError):
                write_status(self._status, self._root)
            self._written = time.monotonic()

    def _write_soon(self, at_once: bool) -> None:
        """Write if the last time is long enough ago, else when it will be, whatever comes until then."""
        wait = self._written + WRITE_EVERY_S - time.monotonic()
        if at_once or wait <= 0:
            self._write()
        elif self._later is None:
            self._later = threading.Timer(wait, self._write)
            self._later.daemon = True
            self._later.start()

    def _show(self, now: float) -> None:
        status = self._status
        if self._console.is_terminal:
            if self._bar is None:
                self._bar = _Bar(
                    TextColumn("{task.description}", markup=False),
                    BarColumn(),
                    TextColumn("{task.completed:.0f}/{task.total:.0f} {task.fields[unit]}"),
                    TimeRemainingColumn(),
                    console=self._console,
                )
                self._bar.add_task(status.stage, total=status.total, unit=status.unit, note="")
                self._bar.start()
            self._bar.update(
                self._bar.task_ids[0], completed=status.done, note=printable(status.note)
            )
        elif now - self._last_line >= LINE_EVERY_S or status.done == status.total:
            self._last_line = now
            line = printable(describe(status))
            self._console.print(line, soft_wrap=True)


class _Bar(Progress):
    """A bar with the note below it, because beside it there is not enough space."""

    def get_renderables(self) -> Iterable[RenderableType]:
        yield from super().get_renderables()
        for task in self.tasks:
            if task.fields["note"]:
                yield Text(task.fields["note"], no_wrap=True, overflow="ellipsis")


def describe(status: Status) -> str:
    """One line, such as "train_noise  3200/16000 images  20 %  loss 0.21  ETA 1:40"."""
    if not status.total:
        return f"{status.stage}  {status.state}  {status.note}".rstrip()
    share = 100 * status.done // status.total
    parts = [status.stage, f"{status.done}/{status.total} {status.unit}", f"{share} %", status.note]
    if status.eta_s is not None and status.done < status.total:
        minutes, seconds = divmod(round(status.eta_s), 60)
        parts.append(f"ETA {minutes}:{seconds:02d}")
    return "  ".join(part for part in parts if part)


def read_status(stage: str, root: Path = Path()) -> Status | None:
    """The last status of a stage, or None."""
    try:
        found = json.loads(_path(stage, root).read_text())
        failure = found.pop("failure")
        said = tuple(found.pop("said"))
        return Status(**found, said=said, failure=Failure(**failure) if failure else None)
    except (FileNotFoundError, json.JSONDecodeError, KeyError, TypeError):
        return None


def write_status(status: Status, root: Path = Path()) -> None:
    """Write the status with the present time. Raises OSError, such as on a full disk.

    It is not flushed: after a power loss the stage runs again, and reports anew.
    """
    content = asdict(replace(status, updated=time.time()))
    write_json(_path(status.stage, root), content, durable=False)


def clear_status(stage: str, root: Path = Path()) -> None:
    """Delete the status before a stage is run, so that a later one is of this run."""
    _path(stage, root).unlink(missing_ok=True)


def _path(stage: str, root: Path) -> Path:
    return root / FOLDER / f"{stage}.json"


_current: Reporter | None = None  # a process runs one stage


def report_ray_job(number: str) -> None:
    """Note the Ray job of the stage that this process runs, if it runs one."""
    if _current is not None:
        _current.ray_job(number)


@contextmanager
def reporting(stage: str) -> Iterator[Reporter]:
    """A reporter whose status is "done" or "failed" after the block."""
    global _current
    reporter = _current = Reporter(stage)
    try:
        yield reporter
    except BaseException as error:
        failure = failure_of(error)
        reporter.finish("failed", failure.sentence, failure)
        raise
    else:
        reporter.finish("done")
    finally:
        _current = None
