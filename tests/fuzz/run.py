"""One target for a time: `python -m tests.fuzz.run NAME SECONDS` prints counts as JSON.

An input that fails is made smaller by Hypothesis and kept in tests/fuzz/corpus/NAME, which the quick tests
replay. Round n draws from seed n, so the same round makes the same inputs.
"""

import hashlib
import json
import resource
import signal
import sys
import time
import traceback
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from types import FrameType
from typing import Any

import psutil
from hypothesis import HealthCheck, Phase, Verbosity, given, seed, settings
from hypothesis.errors import FlakyStrategyDefinition

from tests.conftest import ROOT
from tests.fuzz.rooms import TARGETS
from tests.fuzz.target import Attempt, Target

OURS = tuple(str(ROOT / one) for one in ("drdd", "tests/fuzz/rooms.py", "tests/fuzz/data.py"))
CORPUS = Path(__file__).parent / "corpus"
PER_ROUND = 100
LONGEST_S, MEMORY = 20, 3 * 1024**3  # of one input; above what the process has at the start


class HangError(BaseException):
    """An input took longer than LONGEST_S."""


@contextmanager
def bounded() -> Iterator[None]:
    def stop(*_: int | FrameType | None) -> None:
        raise HangError(f"took more than {LONGEST_S} s")

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, LONGEST_S)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def limit_memory() -> None:
    limit = psutil.Process().memory_info().vms + MEMORY
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


class Run:
    """Counts what becomes of inputs, and keeps those that fail."""

    def __init__(self, target: Target, until: float, current: Path) -> None:
        self.target, self.until, self.current = target, until, current
        self.counts: Counter[str] = Counter()
        self.failures: dict[str, str] = {}
        self.smallest: tuple[str, bytes] | None = None
        self.unstable = 0  # rounds that Hypothesis gave up

    def one(self, attempt: Attempt, content: bytes) -> None:
        if time.monotonic() > self.until:
            return
        self.current.write_bytes(content)  # what is left here killed the process
        try:
            with bounded():
                accepted = attempt(content)
        except BaseException as error:
            if (place := _place(error)) in self.failures:
                return  # the same fault again; Hypothesis goes on to others
            self.smallest = place, content
            raise
        self.counts["accepted" if accepted else "refused"] += 1

    def round(self, number: int, attempt: Attempt) -> None:
        @seed(number)
        @settings(
            max_examples=PER_ROUND,
            deadline=None,
            database=None,
            print_blob=False,
            verbosity=Verbosity.quiet,
            report_multiple_bugs=False,
            phases=[Phase.generate, Phase.shrink],
            suppress_health_check=list(HealthCheck),
        )
        @given(self.target.inputs())
        def inputs(content: bytes) -> None:
            self.one(attempt, content)

        try:
            inputs()
        except (KeyboardInterrupt, SystemExit):
            raise
        except (
            FlakyStrategyDefinition
        ):  # of Hypothesis, about how it drew; the next round draws anew
            self.unstable += 1
        except BaseException:
            if self.smallest is None:
                raise  # of the strategy, not of an attempt
            place, content = self.smallest
            self.failures[place] = keep(self.target.name, content)
            self.counts["failed"] += 1
            self.smallest = None


def keep(name: str, content: bytes) -> str:
    path = CORPUS / name / hashlib.sha256(content).hexdigest()[:12]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path.name


def _place(error: BaseException) -> str:
    """The kind of an error and the last functions of ours on its way: one fault, one place."""
    frames = [f for f in traceback.extract_tb(error.__traceback__) if f.filename.startswith(OURS)]
    where = [f"{Path(f.filename).relative_to(ROOT)}:{f.name}" for f in frames[-2:]]
    said = f" ({error})" if isinstance(error, AssertionError) else ""
    return f"{type(error).__name__} in {' > '.join(where)}{said}"


def main(name: str, seconds: float) -> dict[str, Any]:
    target = TARGETS[name]
    with TemporaryDirectory(prefix="fuzz") as made:
        (folder := Path(made) / "work").mkdir()
        attempt = target.opened(folder)
        limit_memory()
        run = Run(target, time.monotonic() + seconds, CORPUS / f".current-{name}")
        started, number = time.monotonic(), 0
        while time.monotonic() < run.until:
            run.round(number, attempt)
            number += 1
        run.current.unlink(missing_ok=True)
    tried = run.counts.total()
    return {
        "target": name,
        "seconds": round(time.monotonic() - started),
        "rounds": number,
        "unstable": run.unstable,
        "tried": tried,
        **{kind: run.counts[kind] for kind in ("accepted", "refused", "failed")},
        "peak_MiB": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
        "failures": run.failures,
    }


if __name__ == "__main__":
    sys.stdout.write(json.dumps(main(sys.argv[1], float(sys.argv[2]))) + "\n")
