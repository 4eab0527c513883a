"""Which runs are started again: those of which nothing is heard, and no others."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from prefect.client.schemas.objects import FlowRun, State, StateType

from flows.lost import SILENCE_S, take_up

KINDS = {
    "Running": StateType.RUNNING,
    "Cancelling": StateType.CANCELLING,
    "Crashed": StateType.CRASHED,
}


class Server:
    """One run of the flow, and the age of its last heartbeat."""

    def __init__(self, name: str, age: float, heartbeat: float | None) -> None:
        state = State(
            type=KINDS[name], name=name, timestamp=datetime.now(UTC) - timedelta(seconds=age)
        )
        self.run = FlowRun(id=uuid4(), flow_id=uuid4(), name="otter", state=state)
        self.heartbeat = heartbeat
        self.now: list[str] = []

    def read_flow_runs(self, **_: Any) -> list[FlowRun]:
        return [self.run]

    def read_events(self, asked: Any, limit: int) -> Any:
        assert asked.resource.id == [f"prefect.flow-run.{self.run.id}"]
        since = datetime.now(UTC) - asked.occurred.since
        heard = self.heartbeat is not None and self.heartbeat < since.total_seconds()
        return type("Page", (), {"events": ["heartbeat"] if heard else []})

    def set_flow_run_state(self, run: UUID, state: Any, force: bool) -> None:
        assert run == self.run.id
        assert force
        self.now.append(state.name)


@pytest.mark.parametrize(
    ("state", "age", "heartbeat", "watched", "after"),
    [
        ("Running", 1000, 5, SILENCE_S, []),
        ("Running", 1000, 400, SILENCE_S, ["AwaitingRetry"]),
        ("Running", 1000, None, SILENCE_S, ["AwaitingRetry"]),
        ("Running", 20, None, SILENCE_S, []),  # it has just begun
        ("Running", 1000, 400, SILENCE_S / 2, []),  # the server was away: the silence was its own
        ("Cancelling", 1000, 400, SILENCE_S, ["Cancelled"]),
        ("Cancelling", 1000, 5, SILENCE_S, []),
        ("Crashed", 5, None, 0, ["AwaitingRetry"]),
        ("Crashed", 200_000, None, SILENCE_S, []),
    ],
)
def test_a_run_is_taken_up_when_it_is_lost(
    state: str, age: float, heartbeat: float | None, watched: float, after: list[str]
) -> None:
    server = Server(state, age, heartbeat)
    taken = take_up(server, watched)  # type: ignore[arg-type]
    assert server.now == after
    assert taken == ["otter"] * len(after)
