"""One Prefect task for each stage, with its progress, its retries and its failure in a sentence."""

import threading
from concurrent.futures import Future, wait
from typing import cast
from uuid import UUID

from prefect import task
from prefect.artifacts import create_progress_artifact, update_progress_artifact
from prefect.client.schemas.objects import State, TaskRun
from prefect.tasks import Task

from drdd.progress import Status, describe, read_status
from flows import graph

POLL_S = 2.0


class StageFailedError(Exception):
    """A stage failed; the message is the stage's own last word. retry: whether that may help."""

    def __init__(self, message: str, retry: bool) -> None:
        super().__init__(message)
        self.retry = retry


def _may_pass(task: Task[..., object], run: TaskRun, state: State) -> bool:
    error = state.result(raise_on_failure=False)
    return not (isinstance(error, StageFailedError) and not error.retry)


@task(
    task_run_name="{stage}",
    retries=2,
    retry_delay_seconds=[5, 20],
    retry_jitter_factor=0.5,
    retry_condition_fn=_may_pass,
)
def run_stage(stage: str) -> str:
    """Reproduce `stage` in the current folder; "run", or "unchanged" when there was nothing to do."""
    running = _in_thread(stage)
    before = read_status(stage)
    artifact: UUID | None = None
    shown = before
    while not wait([running], timeout=POLL_S).done:
        status = read_status(stage)
        if status is not None and status != shown and status.total:
            artifact = _show(artifact, status)
            shown = status
    try:
        ran = running.result()
    except graph.StageError as error:
        status = read_status(stage)
        if status is None or status == before or status.state != "failed":
            raise StageFailedError(str(error), retry=True) from error
        raise StageFailedError(f"{stage}: {status.note}", status.retry) from error
    return "run" if ran else "unchanged"


def _in_thread(stage: str) -> Future[bool]:
    future: Future[bool] = Future()

    def run() -> None:
        try:
            future.set_result(graph.reproduce(stage))
        except BaseException as error:
            future.set_exception(error)

    threading.Thread(target=run, daemon=True).start()
    return future


def _show(artifact: UUID | None, status: Status) -> UUID:
    percent = 100 * status.done / status.total
    if artifact is None:
        return cast(UUID, create_progress_artifact(percent, description=describe(status)))
    update_progress_artifact(artifact, percent, description=describe(status))
    return artifact
