"""Restarts runs whose process is gone, because it was killed or its machine died.

A run sends the server a heartbeat every HEARTBEAT_S. `flows.worker` restarts the runs that stopped doing
so; beside Prefect's own worker, `python -m flows.lost FILE` does, and touches FILE at each check, so that a
liveness probe can read its time. FILE is in a folder that only this user may write.
"""

import logging
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import (
    FlowFilter,
    FlowFilterName,
    FlowRunFilter,
    FlowRunFilterState,
    FlowRunFilterStateType,
)
from prefect.client.schemas.objects import FlowRun, State, StateType
from prefect.client.schemas.sorting import FlowRunSort
from prefect.events.filters import (
    EventFilter,
    EventNameFilter,
    EventOccurredFilter,
    EventResourceFilter,
)
from prefect.states import AwaitingRetry, Cancelled
from prefect.types import DateTime

FLOW = "drdd"
HEARTBEAT, HEARTBEAT_S = "PREFECT_FLOWS_HEARTBEAT_FREQUENCY", 30  # set where flows run
SILENCE_S = 3.0 * HEARTBEAT_S + 5
OLD = timedelta(days=1)  # an older crash is left alone
LOOK_EVERY_S = 10.0
WORD = "its process was lost; it goes on where it stopped"
log = logging.getLogger("drdd.lost")


def look_after(looked: Callable[[], None] = lambda: None) -> None:
    """Runs for ever, whatever happens. Outages of the server are not counted as missed heartbeats.

    looked: called at each check.
    """
    answered = time.monotonic()
    while True:
        try:
            with get_client(sync_client=True) as client:
                while True:
                    looked()
                    take_up(client, min(SILENCE_S, time.monotonic() - answered))
                    time.sleep(LOOK_EVERY_S)
        except Exception as error:  # nobody would start this watch again
            log.warning("lost runs could not be looked for: %s: %s", type(error).__name__, error)
            answered = time.monotonic()
        time.sleep(LOOK_EVERY_S)


def take_up(client: SyncPrefectClient, watched_s: float) -> list[str]:
    """Restart lost runs, and end lost runs that were being cancelled; the names of both.

    watched_s: for how long the server has answered; a run that was silent for no longer may be alive. A run
    that cannot be restarted, such as one that was deleted meanwhile, does not keep others from it.
    """
    taken = []
    for run in _unfinished(client):
        try:
            if (state := _next_state(client, run, watched_s)) is None:
                continue
            client.set_flow_run_state(run.id, state, force=True)
        except Exception as error:
            log.warning("run %s is left as it is: %s: %s", run.name, type(error).__name__, error)
            continue
        log.warning("run %s: %s", run.name, WORD)
        taken.append(run.name)
    return taken


def _next_state(client: SyncPrefectClient, run: FlowRun, watched_s: float) -> State[None] | None:
    """The state of a lost run, None for a run that is to be left alone."""
    state = run.state
    if state is None:
        return None
    if state.is_crashed():
        recent = datetime.now(UTC) - state.timestamp <= OLD
        return AwaitingRetry(message=WORD) if recent else None
    if watched_s < SILENCE_S or _lives(client, run):
        return None
    if state.is_cancelling():
        return Cancelled(message="its process was lost")
    return AwaitingRetry(message=WORD)


def _unfinished(client: SyncPrefectClient) -> list[FlowRun]:
    kinds = [StateType.RUNNING, StateType.CANCELLING, StateType.CRASHED]
    return client.read_flow_runs(
        flow_filter=FlowFilter(name=FlowFilterName(any_=[FLOW])),
        flow_run_filter=FlowRunFilter(
            state=FlowRunFilterState(type=FlowRunFilterStateType(any_=kinds))
        ),
        sort=FlowRunSort.EXPECTED_START_TIME_DESC,  # old crashes must not crowd out new ones
        limit=200,
    )


def _lives(client: SyncPrefectClient, run: FlowRun) -> bool:
    """Whether it changed its state or sent a heartbeat in the last SILENCE_S."""
    now = DateTime.now("UTC")
    since = now.subtract(seconds=SILENCE_S)
    if run.state is not None and run.state.timestamp > since:
        return True
    heard = EventFilter(
        occurred=EventOccurredFilter(since=since, until=now),
        event=EventNameFilter(name=["prefect.flow-run.heartbeat"]),
        resource=EventResourceFilter(id=[f"prefect.flow-run.{run.id}"]),
    )
    return bool(client.read_events(heard, limit=1).events)


def _touch(path: Path) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    path.touch()


if __name__ == "__main__":
    look_after(lambda: _touch(Path(sys.argv[1])))
