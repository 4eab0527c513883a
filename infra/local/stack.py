"""Bring the local stack up, take it down, ask how it is. Each is safe to repeat."""

import fcntl
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import httpx
import psutil

from drdd.cluster.token import write_token
from drdd.errors import UserError
from drdd.private_files import private_folder
from drdd.registry.signing import TRUSTED, trusted_text
from infra.local.remote import lend, take_back
from infra.local.s3_security import delete_sockets
from infra.local.services import Service, services, write_prefect_toml, write_s3_files
from infra.local.serving import Serving, forget
from infra.local.settings import (
    GRPC_OFFSET,
    Ports,
    StackState,
    environment,
    folder,
    free_port,
    load_state,
    new_state,
    port_holder,
    port_is_free,
    ray_folder,
    ray_token,
    save_state,
)
from infra.local.supervisor import Supervisor

COMPONENTS = ("s3", "prefect", "ray", "worker", "service")
PATIENCE_S = 180.0
POLL_S = 0.2
Report = Callable[[str], None]


@dataclass(frozen=True)
class ServiceStatus:
    """state: running, starting, idle, stopped or failed; memory of the whole process tree, bytes.

    said: of the service that restores, its versions, or why it serves none.
    """

    name: str
    state: str
    address: str
    pid: int | None
    uptime_s: float | None
    memory: int | None
    log: Path
    said: str = ""


@dataclass(frozen=True)
class StackStatus:
    """`changed`: whether the command that returns it started anything."""

    services: tuple[ServiceStatus, ...]
    changed: bool = False

    @property
    def running(self) -> bool:
        return all(service.state in ("running", "idle") for service in self.services)


def up(
    root: Path,
    ports: Ports | None = None,
    components: Sequence[str] = COMPONENTS,
    report: Report = lambda line: None,
) -> StackStatus:
    """Start what does not run; returns when every component works.

    ports: None takes those of the stack that is up, or was until it was killed, else the defaults. Raises
    UserError when a port is taken, when the stack is up on other ports or with other trusted keys, or
    when a service does not come up.
    """
    with _locked(root):
        supervisor = Supervisor(root)
        processes = supervisor.processes()
        if processes is None:
            _begin(root, supervisor, ports or _ports_of_a_killed_one(root), components)
            processes = {}
        state = load_state(root)
        assert state is not None
        if ports not in (None, state.ports):
            raise UserError(
                f"the stack is up on other ports ({_said(state.ports)}); "
                "run `drdd down` before changing them"
            )
        if "service" in components:
            _refuse_other_keys(state)
        known = services(root, state)
        watching = processes.get("service") if "service" in components else None
        if watching and watching.state == "RUNNING" and _serves_nothing(known["service"]):
            forget(root)
            supervisor.restart("service")  # which looks again at once for what it may serve
        stopped = [
            name
            for name in components
            if name not in processes or processes[name].state not in ("RUNNING", "STARTING")
        ]
        _refuse_taken(state.ports, stopped)
        _start(supervisor, [known[name] for name in components], stopped, report)
        write_prefect_toml(root)
        if "s3" in components:
            lend(root, state)
    return replace(status(root, components), changed=bool(stopped))


def down(root: Path) -> bool:
    """Stop everything, keep the data. False when nothing ran."""
    with _locked(root):
        supervisor = Supervisor(root)
        ran = supervisor.processes() is not None
        supervisor.shut_down()
        (root / "prefect.toml").unlink(missing_ok=True)
        if (state := load_state(root)) is not None:
            take_back(root, state)
            delete_sockets(state)
    return ran


def status(root: Path, components: Sequence[str] = COMPONENTS) -> StackStatus:
    state = load_state(root)
    supervisor = Supervisor(root)
    processes = supervisor.processes() or {}
    known = services(root, state) if state is not None else {}
    rows = []
    for name in components:
        address = known[name].address if known else ""
        process = processes.get(name)
        if process is None or not process.pid:
            failed = process is not None and process.state in ("FATAL", "BACKOFF", "EXITED")
            word = "failed" if failed else "stopped"
            rows.append(ServiceStatus(name, word, address, None, None, None, supervisor.log(name)))
            continue
        now = _now(known[name])
        rows.append(
            ServiceStatus(
                name,
                now.state,
                address,
                process.pid,
                time.time() - process.since,
                _memory(process.pid),
                supervisor.log(name),
                now.said,
            )
        )
    return StackStatus(tuple(rows))


@contextmanager
def ensure_s3(root: Path) -> Iterator[dict[str, str]]:
    """The stack's S3 for the duration of the block: the running one, else one started for it.

    Its data lie in the same folder either way. Yields the environment of its clients.
    """
    supervisor = Supervisor(root)
    before = supervisor.processes()
    if before is None:
        up(root, _ports_of_a_passing_s3(), ("s3",))
    else:
        up(root, None, ("s3",))
    try:
        yield environment(root)
    finally:
        if before is None:
            down(root)


def _ports_of_a_killed_one(root: Path) -> Ports:
    """`drdd down` deletes prefect.toml; where it is left, clients use the ports of the state."""
    state = load_state(root)
    return state.ports if state and (root / "prefect.toml").exists() else Ports()


def _refuse_other_keys(state: StackState) -> None:
    if state.trusted != trusted_text():
        raise UserError(
            f"the stack was started with another {TRUSTED}, so its service trusts other models",
            "run `drdd down`, then `drdd up`",
        )


def _ports_of_a_passing_s3() -> Ports:
    ports = Ports()
    return ports if port_is_free(ports.s3) else replace(ports, s3=free_port(GRPC_OFFSET))


def _begin(root: Path, supervisor: Supervisor, ports: Ports, components: Sequence[str]) -> None:
    """New state and a supervisord that runs nothing yet, after the remains of a crash are gone."""
    supervisor.shut_down()
    forget(root)
    # Ray makes a folder of logs at each start; the last one's have had their day.
    shutil.rmtree(ray_folder(root), ignore_errors=True)
    _refuse_taken(ports, components)
    old = load_state(root)
    if old is not None:
        delete_sockets(old)
    state = new_state(ports, old)
    save_state(root, state)
    write_s3_files(root, state)
    write_token(ray_token(root))
    supervisor.launch(services(root, state).values(), environment(root))


def _refuse_taken(ports: Ports, components: Sequence[str]) -> None:
    """Of the services about to start. The restoring service's port is opened by Ray."""
    needed = {"s3": "s3", "prefect": "prefect", "ray": "ray", "serve": "ray", "dashboard": "ray"}
    taken = []
    for name, component in needed.items():
        port = getattr(ports, name)
        if component in components and not port_is_free(port):
            holder = port_holder(port)
            by = f" by process {holder.pid} ({holder.name()})" if holder else ""
            taken.append(f"port {port} ({name}) is taken{by}; choose another: --{name}-port N")
    if taken:
        raise UserError("\n  ".join(taken))


def _start(
    supervisor: Supervisor, wanted: Sequence[Service], stopped: Sequence[str], report: Report
) -> None:
    """Start each service as soon as what it needs is healthy; wait for all."""
    began = time.monotonic()
    to_start = set(stopped)
    healthy: set[str] = set()
    names = {service.name for service in wanted}
    while healthy != names:
        for service in wanted:
            if service.name in healthy:
                continue
            if service.name in to_start:
                if names & set(service.needs) <= healthy:
                    supervisor.start(service.name)
                    to_start.discard(service.name)
            elif _healthy(service):
                healthy.add(service.name)
                if service.name in stopped:
                    report(_came_up(service, time.monotonic() - began))
        waiting = sorted(names - healthy - to_start)
        _refuse_failed(supervisor, waiting)
        if time.monotonic() - began > PATIENCE_S:
            if waiting == ["service"]:  # a large model, or a slow store
                report("service: not ready yet; `drdd status` shows when it is")
                return
            raise UserError(
                f"{', '.join(waiting)} did not come up in {PATIENCE_S:.0f} s; "
                + "; ".join(f"see {supervisor.log(name)}" for name in waiting)
            )
        time.sleep(POLL_S)


def _came_up(service: Service, took_s: float) -> str:
    now = _now(service)
    if now.state in ("idle", "failed"):
        return f"{service.name}: {'does not start: ' * (now.state == 'failed')}{now.said}"
    said = f", {now.said}" if now.said else ""
    return f"{service.name} is up at {service.address} ({took_s:.0f} s){said}"


def _refuse_failed(supervisor: Supervisor, names: Sequence[str]) -> None:
    processes = supervisor.processes() or {}
    for name in names:
        if name in processes and processes[name].state in ("FATAL", "EXITED"):
            log = supervisor.log(name)
            lines = log.read_text(errors="replace").strip().splitlines() if log.exists() else []
            last = "\n    ".join(lines[-8:])
            raise UserError(f"{name} does not start; the end of {log}:\n    {last}")


def _healthy(service: Service) -> bool:
    try:
        return service.healthy()
    except httpx.TransportError:
        return False


def _serves_nothing(service: Service) -> bool:
    return _now(service).state in ("idle", "failed")


def _now(service: Service) -> Serving:
    if service.serving is not None:
        return service.serving()
    return Serving("running" if _healthy(service) else "starting")


def _memory(pid: int) -> int | None:
    try:
        process = psutil.Process(pid)
        tree = [process, *process.children(recursive=True)]
        return sum(member.memory_info().rss for member in tree)
    except psutil.NoSuchProcess:
        return None


def _said(ports: Ports) -> str:
    return ", ".join(f"{name} {port}" for name, port in asdict(ports).items())


@contextmanager
def _locked(root: Path) -> Iterator[None]:
    """One command at a time works on a stack; a second one waits."""
    private_folder(folder(root))  # it holds the keys
    with (folder(root) / "lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
