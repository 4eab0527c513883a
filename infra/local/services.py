"""The services of the stack: how each is started, and how one knows that it really works."""

import json
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import httpx

from drdd.private_files import write_private
from infra.local.s3_security import write_security
from infra.local.serving import Serving, now
from infra.local.settings import (
    BUCKET,
    LOOPBACK,
    REGION,
    STORE_PORTS,
    StackState,
    environment,
    folder,
    ray_folder,
    short_folder,
)

OBJECT_STORE_BYTES = 500 * 1024**2


@dataclass(frozen=True)
class Service:
    """command: argument list; healthy: asks the running service, False while it is not ready.

    needs: services that must be healthy before this one is started; serving: of the service that restores,
    what it does, since it may also wait for a first version.
    """

    name: str
    command: list[str]
    address: str
    folder: Path
    healthy: Callable[[], bool]
    needs: tuple[str, ...] = ()
    serving: Callable[[], Serving] | None = None


def services(root: Path, state: StackState) -> dict[str, Service]:
    """By name, in the order in which they are started."""
    made = (_s3, _prefect, _ray, _worker, _service)
    return {service.name: service for service in (make(root, state) for make in made)}


def _executable(name: str) -> str:
    return str(Path(sys.executable).parent / name)


def _s3(root: Path, state: StackState) -> Service:
    home = folder(root) / "s3"
    hidden = state.hidden
    command = [
        _executable("weed"),
        "-logtostderr",  # and into no files of its own
        "mini",
        f"-dir={home / 'data'}",
        f"-ip={LOOPBACK}",
        f"-ip.bind={LOOPBACK}",
        f"-s3.port={state.ports.s3}",
        f"-s3.config={home / 's3.json'}",
        *(f"-{name}.port={hidden[name]}" for name in STORE_PORTS),
        f"-filer.localSocket={short_folder(root) / 'filer.sock'}",
        f"-s3.localSocket={short_folder(root) / 's3.sock'}",
        "-disableHttp",  # of master and filer: their work goes by gRPC
        "-master.telemetry=false",
        "-admin.ui=false",
        "-webdav=false",
        "-s3.port.iceberg=0",
        "-s3.port.lance=0",
        f"-bucket={BUCKET}",
    ]
    address = f"http://{LOOPBACK}:{state.ports.s3}"
    return Service("s3", command, address, home, lambda: _s3_takes_a_put(address, state))


def write_s3_files(root: Path, state: StackState) -> None:
    """The keys of S3, and what guards the inner ports."""
    home = folder(root) / "s3"
    write_security(home)
    (home / "data").mkdir(parents=True, exist_ok=True)
    keys = {"accessKey": state.access_key, "secretKey": state.secret_key}
    actions = ["Admin", "Read", "Write", "List", "Tagging"]
    identity = {"name": "drdd", "credentials": [keys], "actions": actions}
    write_private(home / "s3.json", json.dumps({"identities": [identity]}).encode())


def _s3_takes_a_put(address: str, state: StackState) -> bool:
    """A signed PUT: the port answers seconds before the store can take an object."""
    from botocore.auth import S3SigV4Auth
    from botocore.awsrequest import AWSRequest
    from botocore.credentials import Credentials

    request = AWSRequest("PUT", f"{address}/{BUCKET}/.health", data=b"ok")
    S3SigV4Auth(Credentials(state.access_key, state.secret_key), "s3", REGION).add_auth(request)
    answer = httpx.put(request.url, content=b"ok", headers=dict(request.headers), timeout=5)
    return answer.status_code == 200


def _prefect(root: Path, state: StackState) -> Service:
    port = state.ports.prefect
    address = f"http://{LOOPBACK}:{port}"
    command = [sys.executable, "-m", "flows.server", f"--port={port}"]

    def healthy() -> bool:
        return httpx.get(f"{address}/api/health", timeout=5).status_code == 200

    return Service("prefect", command, address, folder(root) / "prefect", healthy)


def write_prefect_toml(root: Path) -> None:
    """So that `prefect ...` in this folder, from any shell, talks to this stack's server.

    Readable by the user alone, for the server's string.
    """
    settings = environment(root)
    text = (
        f'home = "{settings["PREFECT_HOME"]}"\n\n'
        f'[api]\nurl = "{settings["PREFECT_API_URL"]}"\n'
        f'auth_string = "{settings["PREFECT_API_AUTH_STRING"]}"\n\n'
        '[logging]\nlevel = "WARNING"\n\n'
        "[cli]\ncolors = true\n"
    )
    write_private(root / "prefect.toml", text.encode())


def _ray(root: Path, state: StackState) -> Service:
    agent = state.hidden["ray_agent"]
    command = [
        _executable("ray"),
        "start",
        "--head",
        "--block",
        f"--node-ip-address={LOOPBACK}",
        f"--port={state.ports.ray}",
        f"--num-cpus={max(2, os.cpu_count() or 1)}",
        f"--object-store-memory={OBJECT_STORE_BYTES}",
        f"--temp-dir={ray_folder(root)}",
        "--include-dashboard=true",
        f"--dashboard-host={LOOPBACK}",
        f"--dashboard-port={state.ports.dashboard}",
        f"--dashboard-agent-listen-port={agent}",
        f"--ray-client-server-port={state.hidden['ray_client']}",
        f"--metrics-export-port={state.hidden['ray_metrics']}",
        "--disable-usage-stats",
    ]

    def healthy() -> bool:
        url = f"http://{LOOPBACK}:{agent}/api/local_raylet_healthz"
        return httpx.get(url, timeout=5).status_code == 200

    return Service("ray", command, f"{LOOPBACK}:{state.ports.ray}", root.resolve(), healthy)


def _worker(root: Path, state: StackState) -> Service:
    """The process that runs the flows; ready when the server has seen it and knows the deployments."""
    url = f"http://{LOOPBACK}:{state.ports.prefect}/api/deployments/name/drdd/full-pipeline"
    user, _, password = state.prefect_auth.partition(":")

    def healthy() -> bool:
        answer = httpx.get(url, auth=(user, password), timeout=5)
        return answer.status_code == 200 and json.loads(answer.text)["status"] == "READY"

    return Service(
        "worker",
        [sys.executable, "-m", "flows.worker"],
        "work pool drdd",
        root.resolve(),
        healthy,
        needs=("s3", "prefect", "ray"),
    )


def _service(root: Path, state: StackState) -> Service:
    """The process that keeps the champion served; healthy once it is known how that went."""
    address = f"http://{LOOPBACK}:{state.ports.serve}"

    def serving() -> Serving:
        return now(root, address)

    return Service(
        "service",
        [sys.executable, "-m", "infra.local.serving", address],
        address,
        root.resolve(),
        lambda: serving().state != "starting",
        needs=("s3", "ray"),
        serving=serving,
    )
