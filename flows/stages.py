"""One Prefect task for each stage, with its progress, its log, its retries and its failure in words."""

import json
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from uuid import UUID

from prefect import get_run_logger, task
from prefect.client.schemas.objects import State, TaskRun
from prefect.tasks import Task

from drdd.errors import UserError
from drdd.progress import Status, read_status
from flows import artifacts
from flows.children import ENDING, stop
from flows.remedies import remedy
from flows.reproduce import MADE, UNCHANGED, Wish, is_had

POLL_S = 1.0
LAST_LINES = 20
LOGS = Path(".drdd/logs")
READY = 2  # processes that wait for a stage
KEPT = "drdd: kept"


@dataclass(frozen=True)
class Plan:
    """How a run treats its stages.

    current: those that had nothing to do when it began; keep: those whose outputs are taken as they
    are; force: make all others anew; stall_s: how long a stage may say nothing; timeout_s: may take, 0 is
    for ever.
    """

    current: frozenset[str] = frozenset()
    keep: frozenset[str] = frozenset()
    force: bool = False
    stall_s: float = 0
    timeout_s: float = 0


class Workers:
    """Processes for stages, some of which have done their imports before a stage is ready to run.

    pushing: those whose stage has its outputs already, and DVC's remote not yet.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._ready: list[subprocess.Popen[str]] = []
        self.pushing: dict[str, subprocess.Popen[str]] = {}

    def get_ready(self, count: int = READY) -> None:
        """In the current folder."""
        with self._lock:
            while len(self._ready) < count and not ENDING.is_set():
                self._ready.append(_started())

    def unpushed(self) -> list[str]:
        """The stages whose outputs did not reach the remote, when each has been tried to the end."""
        tried, self.pushing = self.pushing, {}
        return [stage for stage, process in tried.items() if process.wait() != 0]

    def given(self, wish: Wish) -> "subprocess.Popen[str]":
        with self._lock:
            process = self._ready.pop(0) if self._ready else _started()
        assert process.stdin is not None
        process.stdin.write(json.dumps(asdict(wish)) + "\n")
        process.stdin.close()
        self.get_ready()
        return process

    def dismiss(self) -> None:
        """Those that wait in vain."""
        with self._lock:
            for process in self._ready:
                assert process.stdin is not None
                process.stdin.close()
                process.wait()
            self._ready = []


def _started() -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-P", "-m", "flows.reproduce"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    )


workers = Workers()


class StageFailedError(Exception):
    """A stage failed; the message is the stage's own last word. retry: whether that may help."""

    def __init__(self, message: str, retry: bool) -> None:
        super().__init__(message)
        self.retry = retry


def may_pass(task: Task[..., object], run: TaskRun, state: State) -> bool:
    error = state.result(raise_on_failure=False)
    refused = isinstance(error, StageFailedError) and not error.retry
    return not (refused or isinstance(error, UserError) or ENDING.is_set())


@task(
    task_run_name="{stage}",
    retries=3,
    retry_delay_seconds=[5, 20, 60],
    retry_jitter_factor=0.5,
    retry_condition_fn=may_pass,
)
def run_stage(stage: str, plan: Plan, upstream: Mapping[str, str], pushed: bool = False) -> str:
    """Bring the outputs of `stage` up to date in the current folder; what that took.

    upstream: what it took with the stages that this one reads; pushed: return only when DVC's remote has
    them too, which others need not wait for. Raises StageFailedError.
    """
    if stage in plan.keep:
        if is_had(stage):
            return KEPT
        raise UserError(f"{stage} is to be kept, but what it made is nowhere to be had; let it run")
    untouched = stage in plan.current and set(upstream.values()) <= {UNCHANGED, KEPT}
    if untouched and not plan.force:
        return UNCHANGED
    return _Running(stage, plan, pushed).outcome()


@dataclass
class _Running:
    """The process of a stage, and what is known of it; it is over when its outputs are there, or pushed."""

    stage: str
    plan: Plan
    pushed: bool
    last: deque[str] = field(default_factory=lambda: deque(maxlen=LAST_LINES))
    heard: float = field(default_factory=time.monotonic)
    made: str = ""
    over: threading.Event = field(default_factory=threading.Event)

    def outcome(self) -> str:
        before = read_status(self.stage)
        job = LOGS / f"{self.stage}.job"
        LOGS.mkdir(parents=True, exist_ok=True)
        job.unlink(missing_ok=True)
        process = workers.given(Wish(self.stage, self.plan.force, str(job.absolute())))
        logger = get_run_logger()
        threading.Thread(target=self._read, args=(process, logger.info), daemon=True).start()
        ended = self._watch(process, before, job)
        if self.made and not self.pushed:
            workers.pushing[self.stage] = process
            return self.made
        if process.wait() == 0:
            return self.made
        raise ended or self._failure(before)

    def _read(self, process: "subprocess.Popen[str]", log: Callable[[str], None]) -> None:
        assert process.stdout is not None
        with (LOGS / f"{self.stage}.log").open("a", buffering=1) as kept:
            for line in process.stdout:
                said = line.rstrip()
                if said in MADE:
                    self.made = said
                    if not self.pushed:
                        self.over.set()
                elif said:
                    self.heard = time.monotonic()
                    self.last.append(said)
                    kept.write(f"{said}\n")
                    log(said)
        self.over.set()

    def _watch(
        self, process: "subprocess.Popen[str]", before: Status | None, job: Path
    ) -> StageFailedError | None:
        """Until it is over. The failure, if it was ended here."""
        began = self.heard
        shown, linked = before, False
        artifact: UUID | None = None
        while not self.over.wait(POLL_S):
            status = read_status(self.stage)
            if status is not None and status != shown and status.total:
                artifact = artifacts.progress(artifact, status)
                self.heard = time.monotonic()
            shown = status
            if not linked and job.exists() and (number := job.read_text()):
                linked = artifacts.ray_job(self.stage, number)
            now = time.monotonic()
            if 0 < self.plan.stall_s < now - self.heard:
                stop([process.pid])
                return self._failed(f"it said nothing for {self.plan.stall_s / 60:g} minutes", True)
            if 0 < self.plan.timeout_s < now - began:
                stop([process.pid])
                return self._failed(
                    f"it took longer than {self.plan.timeout_s / 60:g} minutes", False
                )
        return None

    def _failure(self, before: Status | None) -> StageFailedError:
        """By its own last word, if it had one; then it also knows whether trying again may help."""
        status = read_status(self.stage)
        if status and status != before and status.state == "failed" and status.note:
            return self._failed(status.note, status.retry)
        return self._failed(self.last[-1] if self.last else "it ended without a word", True)

    def _failed(self, word: str, retry: bool) -> StageFailedError:
        lines = list(self.last)
        artifacts.failure(self.stage, word, remedy([word, *lines]), lines)
        return StageFailedError(f"{self.stage}: {word}", retry)
