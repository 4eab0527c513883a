"""`drdd up | down | status | env`, by the entry points of pyproject.toml."""

import json
import shlex
import time
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from drdd.shown import console
from infra.local.settings import Ports, environment
from infra.local.stack import StackStatus, status, up
from infra.local.stack import down as stop

out = console()
STATE_STYLES = {
    "running": "green",
    "starting": "yellow",
    "idle": "dim",
    "stopped": "dim",
    "failed": "red",
}

S3Port = Annotated[int | None, typer.Option("--s3-port", help="Port of the S3 server [8333]")]
PrefectPort = Annotated[
    int | None, typer.Option("--prefect-port", help="Port of the Prefect server [4200]")
]
RayPort = Annotated[int | None, typer.Option("--ray-port", help="Port of the Ray head [6379]")]
DashboardPort = Annotated[
    int | None, typer.Option("--dashboard-port", help="Port of Ray's dashboard [8265]")
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]
ServePort = Annotated[int | None, typer.Option("--serve-port", help="Port of the service [8000]")]


def start(
    s3_port: S3Port = None,
    prefect_port: PrefectPort = None,
    ray_port: RayPort = None,
    serve_port: ServePort = None,
    dashboard_port: DashboardPort = None,
) -> None:
    """Start the local stack: S3, Prefect, Ray, a worker for the flows and the service.

    All listen on loopback but Ray's inner ports, which need its token. A run that publishes the first
    champion deploys it; one that was published by hand is served within minutes, or at the next `drdd up`.

    DRDD_S3_PORT, DRDD_PREFECT_PORT and so on set the ports, too.
    """
    ports = Ports.chosen(
        s3=s3_port,
        prefect=prefect_port,
        ray=ray_port,
        serve=serve_port,
        dashboard=dashboard_port,
    )
    began = time.monotonic()
    result = up(Path(), ports, report=lambda line: out.print(line, soft_wrap=True))
    if result.changed:
        out.print(f"the stack is up after {time.monotonic() - began:.0f} s")
    else:
        out.print("the stack is up already")


def finish() -> None:
    """Stop the local stack; its data stay in .drdd/stack."""
    out.print("the stack is down" if stop(Path()) else "the stack was not up")


def show(as_json: Json = False) -> None:
    """Show the state of the stack's services; exit code 1 unless all are running.

    The service is idle, and no error, while nothing is published.
    """
    result = status(Path())
    logs = result.services[0].log.parent.relative_to(Path.cwd())
    if as_json:
        services = [asdict(one) | {"log": str(logs / one.log.name)} for one in result.services]
        typer.echo(json.dumps({"running": result.running, "services": services}, indent=2))
    else:
        out.print(_table(result))
        out.print(f" logs: {logs}", soft_wrap=True)
        out.print(" Prefect's page asks for a password: api.auth_string of prefect.toml")
    if not result.running:
        raise typer.Exit(1)


def export() -> None:
    """Print the environment variables that clients of the stack need: eval "$(drdd env)"."""
    for name, value in environment(Path()).items():
        out.print(f"export {name}={shlex.quote(value)}", soft_wrap=True)


def _table(result: StackStatus) -> Table:
    table = Table(box=None)
    for heading in ("service", "state", "address", "pid", "up", "memory", ""):
        table.add_column(heading, overflow="fold")
    for service in result.services:
        table.add_row(
            service.name,
            Text(service.state, STATE_STYLES[service.state]),
            service.address,
            str(service.pid or ""),
            _duration(service.uptime_s),
            f"{service.memory / 2**20:.0f} MB" if service.memory else "",
            Text(service.said),
        )
    return table


def _duration(seconds: float | None) -> str:
    if seconds is None:
        return ""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}"
