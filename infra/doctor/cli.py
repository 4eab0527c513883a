"""`drdd doctor`: checks the prerequisites of a run and suggests fixes."""

import json
import os
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from drdd.shown import console
from infra.doctor import leftovers, machine, project, services
from infra.doctor.finding import Check, Finding, Site, examine, worst

CHECKS: dict[str, Check] = {
    "python": machine.python,
    "params": project.params,
    "git": project.git,
    "disk": machine.disk,
    "leftovers": leftovers.room,
    "memory": machine.memory,
    "gpu": machine.gpu,
    "ports": machine.ports,
    "registry": services.registry,
    "clock": services.clock,
    "dvc": project.dvc,
    "dvc remote": project.dvc_remote,
    "dvc lock": project.dvc_lock,
    "dvc cache": project.dvc_cache,
    "prefect": services.prefect,
    "work pool": services.work_pool,
    "ray": services.ray,
    "service": services.service,
}
STYLES = {"ok": "green", "note": "cyan", "warning": "yellow", "problem": "red"}
out = console()

Json = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]
Clean = Annotated[
    bool, typer.Option("--clean", help="Instead, delete leftovers that no process uses.")
]


def doctor(as_json: Json = False, clean: Clean = False) -> None:
    """Check prerequisites and suggest fixes; exit code 1 if there is a problem."""
    if clean:
        for one in leftovers.clean(Path()):
            said = f"deleted {one.path} ({leftovers.mib(one.size)}): {one.why}"
            out.print(said, soft_wrap=True)
        return
    findings = examine(Site(Path(), dict(os.environ)), CHECKS)
    state = worst(findings)
    if as_json:
        content = {"state": state, "findings": [asdict(one) for one in findings]}
        typer.echo(json.dumps(content, indent=2))
    else:
        out.print(_table(findings))
    if state == "problem":
        raise typer.Exit(1)


def _table(findings: list[Finding]) -> Table:
    from rich.text import Text

    table = Table(box=None)
    for heading in ("check", "state", "found", "do"):
        table.add_column(heading, overflow="fold")
    for one in findings:
        state = Text(one.state, style=STYLES[one.state])
        table.add_row(one.check, state, Text(one.found), Text(one.do))
    return table
