"""Restarts runs whose process is gone, because it was killed or its machine died.

A run sends the server a heartbeat every HEARTBEAT_S. `flows.worker` restarts the runs that stopped doing
so; beside Prefect's own worker, `python -m flows.lost` does.
"""

import logging
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import gettempdir

import httpx
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import (
    FlowFilter,
    FlowFilterName,
    FlowRunFilter,
    FlowRunFilterState,
    FlowRunFilterStateType,
)
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.events.filters import (
    EventFilter,
    EventNameFilter,
    EventOccurredFilter,
    EventResourceFilter,
)
from prefect.exceptions import PrefectHTTPStatusError
from prefect.states import AwaitingRetry, Cancelled
from prefect.types import DateTime

FLOW = "drdd"
HEARTBEAT, HEARTBEAT_S = "PREFECT_FLOWS_HEARTBEAT_FREQUENCY", 30  # set where flows run
SILENCE_S = 3.0 * HEARTBEAT_S + 5
OLD = timedelta(days=1)  # an older crash is left alone
LOOK_EVERY_S = 10.0
LOOKED = (
    Path(gettempdir()) / "drdd-looked"
)  # touched at each check: a liveness probe reads its time
WORD = "its process was lost; it goes on where it stopped"
log = logging.getLogger("drdd.lost")


def look_after() -> None:
    """Runs for ever. Outages of the server are not counted as missed heartbeats."""
    answered = time.monotonic()
    with get_client(sync_client=True) as client:
        while True:
            LOOKED.touch()
            try:
                take_up(client, min(SILENCE_S, time.monotonic() - answered))
            except (httpx.TransportError, PrefectHTTPStatusError) as error:
                log.warning("the Prefect server does not answer: %s", error)
                answered = time.monotonic()
            time.sleep(LOOK_EVERY_S)


def take_up(client: SyncPrefectClient, watched_s: float) -> list[str]:
    """Restart lost runs, and end lost runs that were being cancelled; the names of both.

    watched_s: for how long the server has answered; a run that was silent for no longer may be alive.
    """
    taken = []
    for run in _unfinished(client):
        state = run.state
        if state is None:
            continue
        if state.is_crashed():
            if datetime.now(UTC) - state.timestamp > OLD:
                continue
            client.set_flow_run_state(run.id, AwaitingRetry(message=WORD), force=True)
        elif watched_s < SILENCE_S or _lives(client, run):
            continue
        elif state.is_cancelling():
            client.set_flow_run_state(run.id, Cancelled(message="its process was lost"), force=True)
        else:
            client.set_flow_run_state(run.id, AwaitingRetry(message=WORD), force=True)
        log.warning("run %s: %s", run.name, WORD)
        taken.append(run.name)
    return taken


def _unfinished(client: SyncPrefectClient) -> list[FlowRun]:
    kinds = [StateType.RUNNING, StateType.CANCELLING, StateType.CRASHED]
    return client.read_flow_runs(
        flow_filter=FlowFilter(name=FlowFilterName(any_=[FLOW])),
        flow_run_filter=FlowRunFilter(
            state=FlowRunFilterState(type=FlowRunFilterStateType(any_=kinds))
        ),
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


if __name__ == "__main__":
    look_after()
