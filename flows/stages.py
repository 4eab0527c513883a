"""A Prefect task for each stage, with progress, log, retries and an explanation of failures."""

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

from drdd.errors import Failure, UserError
from drdd.progress import Status, clear_status, read_status
from flows import artifacts
from flows.children import ENDING, stop
from flows.reproduce import UNCHANGED, StageRequest, has_outputs

POLL_S = 0.2
SHOW_EVERY_S = 1.0  # how often progress is sent to Prefect
LAST_LINES = 20
LAST_WORDS_S = 5.0  # to read the last output of a stage
LOGS = Path(".drdd/logs")
READY = 2  # processes kept ready for a stage
KEPT = "kept"
REMEDIES = {  # for errors without a remedy of their own
    "user": "Correct what the message names, such as a key of params.yaml; then start the run again.",
    "transient": "Start the run again: it goes on where it stopped. `drdd doctor` checks the services.",
    "interrupted": "Start the run again: it goes on where it stopped.",
    "unexpected": "The last lines of its log, above, are what is known; all of it is in .drdd/logs.",
}


@dataclass(frozen=True)
class RunPolicy:
    """The options of a run for its stages.

    current: stages that were up to date when it began; keep: stages that are not run; force: run all
    others; stall_s: maximum time of a stage without output, 0 for no limit; timeout_s: maximum time of a
    stage, 0 for no limit.
    """

    current: frozenset[str] = frozenset()
    keep: frozenset[str] = frozenset()
    force: bool = False
    stall_s: float = 0
    timeout_s: float = 0


class StageProcesses:
    """Processes for stages; some do their imports in advance.

    pushing: by stage, processes whose outputs are in DVC's cache, but not yet in its remote.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._ready: list[subprocess.Popen[str]] = []
        self.pushing: dict[str, subprocess.Popen[str]] = {}

    def prepare(self, count: int = READY) -> None:
        """Start processes in the current folder until `count` are ready."""
        with self._lock:
            while len(self._ready) < count and not ENDING.is_set():
                self._ready.append(_started())

    def submit(self, request: StageRequest) -> "subprocess.Popen[str]":
        with self._lock:
            process = self._ready.pop(0) if self._ready else _started()
        assert process.stdin is not None
        process.stdin.write(json.dumps(asdict(request)) + "\n")
        process.stdin.close()
        self.prepare()
        return process

    def unpushed(self) -> list[str]:
        """Wait for all pushes. Returns the stages whose outputs did not reach the remote."""
        tried, self.pushing = self.pushing, {}
        return [stage for stage, process in tried.items() if process.wait() != 0]

    def close(self) -> None:
        """End the processes without a stage."""
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


processes = StageProcesses()


class StageFailedError(Exception):
    """A stage failed. retry: whether a retry may help."""

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
def run_stage(
    stage: str, policy: RunPolicy, upstream: Mapping[str, str], pushed: bool = False
) -> str:
    """Bring the outputs of `stage` up to date in the current folder. Returns the outcome.

    upstream: outcomes of the stages that this one reads; pushed: return only when DVC's remote has the
    outputs too, which other stages need not wait for. Raises StageFailedError.
    """
    if stage in policy.keep:
        if has_outputs(stage):
            return KEPT
        raise UserError(f"{stage} is to be kept, but what it made is nowhere to be had; let it run")
    untouched = stage in policy.current and set(upstream.values()) <= {UNCHANGED, KEPT}
    if untouched and not policy.force:
        return UNCHANGED
    return _StageRun(stage, policy, pushed).outcome()


@dataclass
class _StageRun:
    """The process of a stage.

    It is done when its status has an outcome or, with `pushed`, when it exits.
    """

    stage: str
    policy: RunPolicy
    pushed: bool
    last_lines: deque[str] = field(default_factory=lambda: deque(maxlen=LAST_LINES))
    last_sign: float = field(default_factory=time.monotonic)  # time of the last output or progress

    def outcome(self) -> str:
        LOGS.mkdir(parents=True, exist_ok=True)
        clear_status(self.stage)
        process = processes.submit(StageRequest(self.stage, self.policy.force))
        log = get_run_logger().info
        reader = threading.Thread(target=self._read, args=(process, log), daemon=True)
        reader.start()
        status = self._watch(process)
        if status is not None and status.outcome and not self.pushed:
            processes.pushing[self.stage] = process
            return status.outcome
        if process.wait() == 0 and status is not None:
            return status.outcome
        reader.join(timeout=LAST_WORDS_S)
        raise self._failed(self._failure(status))

    def _read(self, process: "subprocess.Popen[str]", log: Callable[[str], None]) -> None:
        """Copy the output of the stage to the task's log and a file."""
        assert process.stdout is not None
        with (LOGS / f"{self.stage}.log").open("a", buffering=1) as kept:
            for line in filter(None, (line.rstrip() for line in process.stdout)):
                self.last_sign = time.monotonic()
                self.last_lines.append(line)
                kept.write(f"{line}\n")
                log(line)

    def _watch(self, process: "subprocess.Popen[str]") -> Status | None:
        """Wait until it is done; returns its status.

        Raises StageFailedError when the stage took too long.
        """
        began = self.last_sign
        seen: Status | None = None
        artifact: UUID | None = None
        linked, unshown, next_show = False, False, 0.0
        while True:
            ended = process.poll() is not None  # read before the last status
            status = read_status(self.stage)
            now = time.monotonic()
            if ended or (status is not None and status.outcome and not self.pushed):
                return status
            if status != seen:
                seen, self.last_sign, unshown = status, now, True
            if status is not None and status.total and unshown and now >= next_show:
                artifact = artifacts.progress(artifact, status)
                unshown, next_show = False, now + SHOW_EVERY_S
            if status is not None and status.ray_job and not linked:
                linked = artifacts.ray_job(self.stage, status.ray_job)
            self._stop_if_late(process, began)
            time.sleep(POLL_S)

    def _stop_if_late(self, process: "subprocess.Popen[str]", began: float) -> None:
        now, stall_s, timeout_s = time.monotonic(), self.policy.stall_s, self.policy.timeout_s
        if 0 < stall_s < now - self.last_sign:
            said = f"it said nothing for {stall_s / 60:g} minutes"
            failure = Failure("transient", said, _slow("stall_minutes"))
        elif 0 < timeout_s < now - began:
            said = f"it took longer than {timeout_s / 60:g} minutes"
            failure = Failure("user", said, _slow("timeout_minutes"))
        else:
            return
        stop([process.pid])
        raise self._failed(failure)

    def _failure(self, status: Status | None) -> Failure:
        """The failure in the status, or one for a process that died without it."""
        if status is not None and status.failure is not None:
            return status.failure
        last = self.last_lines[-1] if self.last_lines else "it ended without a word"
        return Failure("unexpected", last)

    def _failed(self, failure: Failure) -> StageFailedError:
        advice = failure.remedy or REMEDIES[failure.kind]
        artifacts.failure(self.stage, failure.sentence, advice, list(self.last_lines))
        return StageFailedError(f"{self.stage}: {failure}", failure.retry)


def _slow(parameter: str) -> str:
    return f"see its log and Ray's dashboard; raise {parameter} if the work is really that slow"
