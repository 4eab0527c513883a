"""The stack's settings: its ports, its keys, its folders, and the environment its clients need."""

import os
import secrets
import socket
from dataclasses import asdict, dataclass, fields, replace
from hashlib import sha256
from json import JSONDecodeError, dumps, loads
from pathlib import Path

import psutil

from drdd.cluster.connection import QUIET
from drdd.errors import UserError
from drdd.private_files import private_folder, refuse_shared, socket_base, write_private

FOLDER = Path(".drdd/stack")
BUCKET = "drdd"
REGION = "us-east-1"
LOOPBACK = "127.0.0.1"
STORE_PORTS = ("master", "volume", "filer", "admin")  # the S3 server's own
RAY_PORTS = ("ray_agent", "ray_client", "ray_metrics")
RAY_WORKERS = range(10_002, 20_000)  # the ports that Ray gives its workers
GRPC_OFFSET = 10_000  # SeaweedFS puts each server's gRPC port this far above its HTTP port


@dataclass(frozen=True)
class Ports:
    """Where the stack is reached, all on loopback."""

    s3: int = 8333
    prefect: int = 4200
    ray: int = 6379
    serve: int = 8000
    dashboard: int = 8265  # Ray's

    @classmethod
    def chosen(cls, **flags: int | None) -> "Ports | None":
        """From flags, else DRDD_S3_PORT and so on; None when nothing was chosen.

        Raises UserError when a variable or flag holds no usable port.
        """
        given: dict[str, int] = {}
        for name in (field.name for field in fields(cls)):
            variable = f"DRDD_{name.upper()}_PORT"
            value = flags.get(name) or os.environ.get(variable)
            if value is None:
                continue
            if name in ("ray", "serve", "dashboard") and str(value) in map(str, RAY_WORKERS):
                raise UserError(
                    f"--{name}-port ({variable}) = {value}: Ray's workers take {RAY_WORKERS[0]} to "
                    f"{RAY_WORKERS[-1]}; choose another"
                )
            highest = 65_535 - (GRPC_OFFSET if name == "s3" else 0)
            if not str(value).isdigit() or not 1024 <= int(value) <= highest:
                raise UserError(
                    f"--{name}-port ({variable}) = {value!r}: a port is 1024 to {highest}"
                )
            given[name] = int(value)
        return replace(cls(), **given) if given else None


@dataclass(frozen=True)
class StackState:
    """What is kept between commands, in a file that only the user can read.

    hidden: ports that no client needs, chosen free at each start; prefect_auth: USER:PASSWORD, what the
    Prefect server asks of its clients; trusted: the public keys with which the service was started.
    """

    ports: Ports
    hidden: dict[str, int]
    access_key: str
    secret_key: str
    prefect_auth: str = ""
    trusted: str = ""


def folder(root: Path) -> Path:
    return root.resolve() / FOLDER


def socket_path(root: Path) -> Path:
    """In the temporary folder, because a socket's path may have about 100 characters only."""
    return short_folder(root) / "supervisor.sock"


def ray_folder(root: Path) -> Path:
    """Of Ray's sessions and logs; with the rest of the state if its sockets' paths fit there."""
    wanted = folder(root) / "ray"
    return wanted if len(str(wanted)) <= 44 else short_folder(root) / "ray"


def ray_token(root: Path) -> Path:
    """Who reads this file runs code on the stack's Ray."""
    return folder(root) / "ray-token"


def short_folder(root: Path) -> Path:
    """For sockets. Raises UserError when others have, or may have, put something there."""
    name = sha256(str(root.resolve()).encode()).hexdigest()[:8]
    return refuse_shared(socket_base() / f"drdd-{os.getuid()}-{name}")


def load_state(root: Path) -> StackState | None:
    """None when no stack was ever started here, or by another version only."""
    try:
        content = loads((folder(root) / "state.json").read_text())
        state = StackState(**(content | {"ports": Ports(**content["ports"])}))
        return state if set(state.hidden) == {*STORE_PORTS, *RAY_PORTS} else None
    except (FileNotFoundError, JSONDecodeError, TypeError, KeyError):
        return None


def save_state(root: Path, state: StackState) -> None:
    path = folder(root) / "state.json"
    private_folder(path.parent)
    write_private(path, dumps(asdict(state), indent=2).encode())


def new_state(ports: Ports, old: StackState | None) -> StackState:
    """Keys are made once and kept; hidden ports are chosen anew."""
    hidden = {name: free_port(GRPC_OFFSET) for name in STORE_PORTS}
    hidden |= {name: free_port() for name in RAY_PORTS}
    if old is not None:
        auth = old.prefect_auth or _prefect_auth()
        return StackState(ports, hidden, old.access_key, old.secret_key, auth)
    key, secret = secrets.token_hex(10).upper(), secrets.token_urlsafe(30)
    return StackState(ports, hidden, key, secret, _prefect_auth())


def _prefect_auth() -> str:
    return f"drdd:{secrets.token_urlsafe(30)}"


def free_port(companion: int = 0) -> int:
    """A free port, outside the range the system hands out; port + companion is free as well."""
    for _ in range(1000):
        port = 20_000 + secrets.randbelow(10_000)
        if port_is_free(port) and port_is_free(port + companion):
            return port
    raise UserError("no free port between 20000 and 30000 on the loopback interface")


def port_is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
    return True


def port_holder(port: int) -> psutil.Process | None:
    """The process that listens there; None when there is none, or none that may be seen."""
    try:
        for one in psutil.net_connections("tcp"):
            listens = one.status == psutil.CONN_LISTEN and one.laddr and one.laddr.port == port
            if listens and one.pid:
                return psutil.Process(one.pid)
    except psutil.Error:
        pass
    return None


def quiet_environment() -> dict[str, str]:
    """No telemetry, banners or version checks."""
    return {
        **QUIET,
        "DO_NOT_TRACK": "1",
        "DVC_NO_ANALYTICS": "1",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_SERVER_UI_SHOW_PROMOTIONAL_CONTENT": "false",
        "PREFECT_LOGGING_LEVEL": "WARNING",
        "PREFECT_CLI_COLORS": "false",
        # Its history, which would grow for ever: runs for thirty days, events for one.
        "PREFECT_SERVER_SERVICES_DB_VACUUM_ENABLED": "events,flow_runs",
        "PREFECT_SERVER_SERVICES_DB_VACUUM_RETENTION_PERIOD": str(30 * 24 * 3600),
        "PREFECT_SERVER_EVENTS_RETENTION_PERIOD": "P1D",
        # How soon a run begins, and how soon one whose machine is lost is missed.
        "PREFECT_WORKER_QUERY_SECONDS": "2",
        "PREFECT_FLOWS_HEARTBEAT_FREQUENCY": "30",
        # A server that is away for a minute ends no run.
        "PREFECT_CLIENT_MAX_RETRIES": "12",
        "PYTHONWARNINGS": "ignore",
    }


def environment(root: Path) -> dict[str, str]:
    """What a client of the stack needs. Raises UserError when none was ever started here."""
    state = load_state(root)
    if state is None:
        raise UserError(f"no stack was ever started in {root.resolve()}; `drdd up` starts it")
    ports = state.ports
    return {
        **quiet_environment(),
        "AWS_ENDPOINT_URL": f"http://{LOOPBACK}:{ports.s3}",
        "AWS_ACCESS_KEY_ID": state.access_key,
        "AWS_SECRET_ACCESS_KEY": state.secret_key,
        "AWS_DEFAULT_REGION": REGION,
        "PREFECT_API_URL": f"http://{LOOPBACK}:{ports.prefect}/api",
        "PREFECT_API_AUTH_STRING": state.prefect_auth,
        "PREFECT_HOME": str(folder(root) / "prefect"),
        "RAY_ADDRESS": f"{LOOPBACK}:{ports.ray}",
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN_PATH": str(ray_token(root)),
        "DRDD_RAY_DASHBOARD": f"http://{LOOPBACK}:{ports.dashboard}",
        "DRDD_SERVE_PORT": str(ports.serve),
        "DRDD_PROJECT": str(root.resolve()),
    }
