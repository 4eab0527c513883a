"""The local stack: real processes, killed for real, and taken down without a trace."""

import os
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from typer.testing import CliRunner

from drdd.cli.main import app
from drdd.errors import UserError
from infra.doctor import services
from infra.doctor.finding import NotOk, Site
from infra.local import stack
from infra.local.settings import (
    Ports,
    environment,
    folder,
    free_port,
    load_state,
    port_is_free,
    quiet_environment,
)
from infra.local.supervisor import MARK, Supervisor
from tests.conftest import ROOT


def _ports() -> Ports:
    return Ports(free_port(10_000), *(free_port() for _ in range(4)))


def _left_over(root: Path) -> list[str]:
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get(MARK) == str(root.resolve()):
                found.append(process.name())
        except (psutil.Error, OSError):
            continue
    return found


@pytest.fixture
def root(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path
    stack.down(tmp_path)
    assert _left_over(tmp_path) == []


def test_ports_come_from_flags_then_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    assert Ports.chosen() is None
    monkeypatch.setenv("DRDD_RAY_PORT", "7000")
    assert Ports.chosen() == Ports(ray=7000)
    assert Ports.chosen(ray=7001, s3=9000) == Ports(ray=7001, s3=9000)
    with pytest.raises(UserError, match="--s3-port"):
        Ports.chosen(s3=60_000)
    with pytest.raises(UserError, match="Ray's workers take 10002 to 19999"):
        Ports.chosen(dashboard=18_265)
    monkeypatch.setenv("DRDD_RAY_PORT", "seven")
    with pytest.raises(UserError, match="DRDD_RAY_PORT"):
        Ports.chosen()


def test_prefect_forgets_old_runs_and_events() -> None:
    code = (
        "from prefect.settings import get_current_settings\n"
        "server = get_current_settings().server\n"
        "vacuum = server.services.db_vacuum\n"
        "print(sorted(vacuum.enabled_vacuum_types), vacuum.retention_period.days,"
        " server.events.retention_period.days)"
    )
    settings = os.environ | quiet_environment()
    done = subprocess.run(
        [sys.executable, "-c", code], env=settings, capture_output=True, text=True
    )
    assert done.stdout.strip() == "['events', 'flow_runs', 'orphans'] 30 1", done.stderr
    image = (ROOT / "infra/containers/Dockerfile").read_text()
    for name, value in quiet_environment().items():
        if name.startswith(("PREFECT_SERVER_", "RAY_ROTATION_")):
            assert f" {name}={value} " in image


def test_the_store_is_up_once_and_down_without_a_trace(
    root: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    temporary = tmp_path_factory.mktemp("temporary")
    monkeypatch.setenv("TMPDIR", str(temporary))  # of the processes of the stack
    ports = _ports()
    lines: list[str] = []
    assert stack.up(root, ports, ("s3",), lines.append).changed
    assert lines
    assert lines[0].startswith(f"s3 is up at http://127.0.0.1:{ports.s3}")
    pid = stack.status(root, ("s3",)).services[0].pid
    again = stack.up(root, None, ("s3",), lines.append)
    assert not again.changed
    assert again.running
    assert again.services[0].pid == pid
    assert len(lines) == 1
    with pytest.raises(UserError, match="up on other ports"):
        stack.up(root, _ports(), ("s3",))
    assert stack.down(root)
    assert not stack.down(root)
    assert port_is_free(ports.s3)
    assert stack.status(root, ("s3",)).services[0].state == "stopped"
    assert list(temporary.iterdir()) == []  # no logs that nobody rotates


def test_a_taken_port_is_said_before_anything_starts(root: Path) -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        port = holder.getsockname()[1]
        name = psutil.Process().name()
        said = (
            rf"port {port} \(prefect\) is taken by process {os.getpid()} \({name}\).*--prefect-port"
        )
        with pytest.raises(UserError, match=said):
            stack.up(root, Ports(_ports().s3, port), ("s3", "prefect"))
    assert Supervisor(root).processes() is None


def test_what_dies_is_restarted(root: Path) -> None:
    stack.up(root, _ports(), ("s3",))
    pid = stack.status(root, ("s3",)).services[0].pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    give_up = time.monotonic() + 30
    while time.monotonic() < give_up:
        now = stack.status(root, ("s3",)).services[0]
        if now.state == "running" and now.pid != pid:
            break
        time.sleep(0.2)
    assert now.state == "running"
    assert now.pid != pid


def test_the_stack_recovers_from_a_killed_supervisor(root: Path) -> None:
    ports = _ports()
    stack.up(root, ports, ("s3",))
    old = stack.status(root, ("s3",)).services[0].pid
    supervisor = int((folder(root) / "supervisord.pid").read_text())
    os.kill(supervisor, signal.SIGKILL)
    psutil.Process(supervisor).wait(5) if psutil.pid_exists(supervisor) else None
    assert stack.up(root, None, ("s3",)).running
    state = load_state(root)
    assert state is not None
    assert state.ports == ports  # where its clients look for it
    assert old is not None
    assert not psutil.pid_exists(old)


def test_other_trusted_keys_do_not_pass_unseen(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stack.up(root, _ports(), ("s3",))
    monkeypatch.setenv("DRDD_TRUSTED_KEY", "-----BEGIN PUBLIC KEY-----x-----END PUBLIC KEY-----")
    with pytest.raises(UserError, match=r"another DRDD_TRUSTED_KEY.*drdd down"):
        stack.up(root, None, ("service",))
    with pytest.raises(NotOk) as told:
        services.service(Site(root, {}))
    assert told.value.state == "problem"
    assert "DRDD_TRUSTED_KEY" in told.value.found


def test_keys_are_the_users_alone_and_kept(root: Path) -> None:
    stack.up(root, _ports(), ("s3",))
    state = load_state(root)
    assert state is not None
    for path in ("state.json", "s3/s3.json", "s3/security.toml", "s3/inner.key"):
        assert stat.S_IMODE((folder(root) / path).stat().st_mode) == 0o600
    for text in (folder(root) / "supervisord.conf", root / "prefect.toml"):
        assert state.secret_key not in text.read_text()
    stack.down(root)
    stack.up(root, _ports(), ("s3",))
    again = load_state(root)
    assert again is not None
    assert (again.access_key, again.secret_key) == (state.access_key, state.secret_key)


def test_objects_survive_a_restart_and_a_passing_store(root: Path) -> None:
    from drdd.storage.objects import Store

    with pytest.MonkeyPatch.context() as patch, stack.ensure_s3(root) as settings:
        for name, value in settings.items():
            patch.setenv(name, value)
        Store("s3://drdd/test").put("a", b"kept")
    assert Supervisor(root).processes() is None
    stack.up(root, _ports(), ("s3",))
    with pytest.MonkeyPatch.context() as patch, stack.ensure_s3(root) as settings:
        for name, value in settings.items():
            patch.setenv(name, value)
        assert Store("s3://drdd/test").get("a") == b"kept"
    assert stack.status(root, ("s3",)).running  # it was up before, so it stays


def test_a_service_that_cannot_start_shows_the_end_of_its_log(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from infra.local import services as module

    broken = [sys.executable, "-c", "raise SystemExit('no disk left for the store')"]
    make = module._s3

    def broken_s3(root: Path, state: object) -> module.Service:
        service = make(root, state)  # type: ignore[arg-type]
        return module.Service("s3", broken, service.address, service.folder, service.healthy)

    monkeypatch.setattr(module, "_s3", broken_s3)
    with pytest.raises(UserError, match="no disk left for the store"):
        stack.up(root, _ports(), ("s3",))


def test_status_is_an_exit_code(workspace: Path) -> None:
    result = CliRunner().invoke(app, ["status"])
    assert result.exit_code == 1
    assert result.output.count("stopped") == 5
    with pytest.raises(UserError, match="no stack was ever started"):
        environment(workspace)


@pytest.mark.slow
def test_everything_comes_up_and_goes_down(root: Path) -> None:
    """With the project's own deployment, from a copy of the project."""
    files = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    for name in filter(None, files.stdout.split("\0")):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes((ROOT / name).read_bytes())
    result = stack.up(root, _ports())
    assert [service.state for service in result.services] == [*["running"] * 4, "idle"]
    assert not stack.up(root).changed
    shown = subprocess.run(
        [str(Path(sys.executable).parent / "prefect"), "deployment", "ls"],
        cwd=root,
        env={k: v for k, v in os.environ.items() if not k.startswith("PREFECT_")},
        capture_output=True,
        text=True,
    )
    assert "drdd/full-pipeline" in shown.stdout
