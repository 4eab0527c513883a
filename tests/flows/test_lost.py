"""Which runs are started again: those of which nothing is heard, and no others."""

import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import nullcontext
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from prefect.client.schemas.objects import FlowRun, State, StateType
from prefect.exceptions import ObjectNotFound

from flows import lost
from flows.lost import SILENCE_S, look_after, take_up
from tests.conftest import ROOT
from tests.project import environment

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


class _Enough(BaseException):
    """Ends a watch that nothing else ends."""


def _watch(monkeypatch: pytest.MonkeyPatch, rounds: list[Callable[[], None]]) -> None:
    """A watch of as many checks, each of which meets something."""
    left = iter(rounds)

    def check(client: Any, watched_s: float) -> list[str]:
        if (met := next(left, None)) is None:
            raise _Enough
        met()
        return []

    monkeypatch.setattr(lost, "get_client", lambda **_: nullcontext(None))
    monkeypatch.setattr(lost, "take_up", check)
    monkeypatch.setattr(lost, "LOOK_EVERY_S", 0.0)
    with pytest.raises(_Enough):
        look_after()


@pytest.mark.parametrize(
    "error",
    [
        httpx.ConnectError("no server"),
        ObjectNotFound(RuntimeError("404")),
        OSError("the disk is full"),
        ValueError("an answer that is no JSON"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_no_error_ends_the_watch(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    done = []

    def fail() -> None:
        raise error

    _watch(monkeypatch, [fail, fail, lambda: done.append(1), fail, lambda: done.append(2)])
    assert done == [1, 2]


def test_a_deleted_run_does_not_keep_others_from_being_taken_up() -> None:
    class Two(Server):
        def read_flow_runs(self, **_: Any) -> list[FlowRun]:
            deleted = self.run.model_copy(update={"id": uuid4(), "name": "deleted"})
            return [deleted, self.run, deleted]

        def set_flow_run_state(self, run: UUID, state: Any, force: bool) -> None:
            if run != self.run.id:
                raise ObjectNotFound(RuntimeError("404"))
            super().set_flow_run_state(run, state, force)

    server = Two("Crashed", 5, None)
    assert take_up(server, SILENCE_S) == ["otter"]  # type: ignore[arg-type]
    assert server.now == ["AwaitingRetry"]


@pytest.mark.slow
def test_the_watch_lives_without_a_server_and_beside_strangers_files(tmp_path: Path) -> None:
    """A stranger's file in the temporary folder has the name that the watch once touched there."""
    (tmp_path / "drdd-looked").symlink_to("drdd-looked")  # nobody can touch it, not even root
    looked = tmp_path / "private" / "looked"
    settings = environment(TMPDIR=str(tmp_path), PREFECT_API_URL="http://127.0.0.1:9/api")
    settings |= {"PREFECT_CLIENT_MAX_RETRIES": "0", "PREFECT_HOME": str(tmp_path / "prefect")}
    command = [sys.executable, "-m", "flows.lost", str(looked)]
    watch = subprocess.Popen(command, cwd=ROOT, env=settings)
    try:
        times: set[int] = set()
        while len(times) < 2 and watch.poll() is None:
            if looked.exists():
                times.add(looked.stat().st_mtime_ns)
            time.sleep(0.2)
        assert watch.poll() is None
    finally:
        watch.kill()
        watch.wait()
