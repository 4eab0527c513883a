"""`make bench-flow`: what the machinery costs beside the stages' own work.

In a project of tiny params and on a stack of its own: a repro and a run with nothing to do, the seconds of
a real run in which no stage's command runs, runs at the same time, and many runs one after another, over
which the services' memory and the disk must not grow. The share of a ten-minute run is computed from those
seconds, because they do not depend on how long a stage works.
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx
import psutil
from rich.console import Console
from rich.table import Table

from infra.local import stack
from infra.local.settings import Ports, environment, free_port, short_folder
from tests.project import BIN, make_project, tiny_params

RESULTS = Path(__file__).parent / "results/flow.json"
TEN_MINUTES = 600.0
STAGES = "drdd.stages."
LOOK_S, LOOKED_AT_S = 0.05, 1.0
out = Console(highlight=False)


class Project:
    """A project on a stack of its own."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.settings = environment(root)
        self.url = self.settings["PREFECT_API_URL"]

    def timed(self, *command: str) -> float:
        began = time.monotonic()
        done = subprocess.run(
            [str(BIN / command[0]), *command[1:]],
            cwd=self.root,
            env=os.environ | self.settings,
            capture_output=True,
            text=True,
        )
        if done.returncode != 0:
            sys.exit(f"{' '.join(command)}: {done.stdout}{done.stderr}")
        return time.monotonic() - began

    def start(self, **parameters: Any) -> str:
        found = httpx.get(f"{self.url}/deployments/name/drdd/full-pipeline").json()
        wish = {"parameters": parameters, "state": {"type": "SCHEDULED"}}
        while True:
            made = httpx.post(
                f"{self.url}/deployments/{found['id']}/create_flow_run", json=wish, timeout=60
            )
            if made.status_code != 503:  # its database is busy
                return str(made.raise_for_status().json()["id"])
            time.sleep(0.5)

    def ended(self, run: str) -> dict[str, Any]:
        while True:
            answer = httpx.get(f"{self.url}/flow_runs/{run}", timeout=60)
            found: dict[str, Any] = answer.json() if answer.status_code == 200 else {"state": {}}
            if found["state"].get("type") in ("COMPLETED", "FAILED", "CRASHED", "CANCELLED"):
                return found
            time.sleep(0.2)

    def seconds(self, run: str) -> float:
        """From the wish for it to its end."""
        found = self.ended(run)
        if found["state"]["type"] != "COMPLETED":
            sys.exit(f"run {found['name']}: {found['state']}")
        return _time(found["end_time"]) - _time(found["expected_start_time"])

    def served(self, run: str) -> list[tuple[float, float]]:
        """When the model was put into service."""
        asked = {"flow_runs": {"id": {"any_": [run]}}, "task_runs": {"name": {"any_": ["serve"]}}}
        found = httpx.post(f"{self.url}/task_runs/filter", json=asked).json()
        return [(_time(one["start_time"]), _time(one["end_time"])) for one in found]

    def memory(self) -> dict[str, float]:
        """MB of each service's processes."""
        found = stack.status(self.root)
        return {one.name: (one.memory or 0) / 2**20 for one in found.services}

    def disk(self) -> float:
        """MB of the stack's own folder and of the runs' workspaces."""
        folders = [
            self.root / ".drdd",
            self.root / ".git",
            self.root / ".dvc",
            short_folder(self.root),
        ]
        return sum(_size(folder) for folder in folders) / 2**20


class Commands:
    """Watches when commands of stages run, `python -m drdd.stages...`; spans: from and to, Unix times."""

    def __init__(self) -> None:
        self.spans: list[tuple[float, float]] = []
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch)

    def __enter__(self) -> "Commands":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        known: set[int] = set(psutil.pids())
        running: dict[psutil.Process, float] = {}
        while not self._over.wait(LOOK_S):
            now, present = time.time(), set(psutil.pids())
            for pid in present - known:
                with suppress(psutil.NoSuchProcess):
                    process = psutil.Process(pid)
                    if STAGES in " ".join(process.cmdline()):
                        running[process] = process.create_time()
                    elif now - process.create_time() < LOOKED_AT_S:
                        continue  # it may not be what it is going to be yet
                known.add(pid)
            known &= present
            for process in [one for one in running if one.pid not in present]:
                self.spans.append((running.pop(process), now))


def covered(spans: list[tuple[float, float]]) -> float:
    """The length of the union of intervals."""
    total, end = 0.0, float("-inf")
    for first, last in sorted(spans):
        total += max(0.0, last - max(first, end))
        end = max(end, last)
    return total


def _size(folder: Path) -> int:
    """Bytes on the disk; a file that several names share counts once."""
    seen: dict[int, int] = {}
    for path in folder.rglob("*"):
        if path.is_file() and not path.is_symlink():
            status = path.stat()
            seen[status.st_ino] = status.st_blocks * 512
    return sum(seen.values())


def _time(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


@contextmanager
def project() -> Iterator[Project]:
    root = Path(tempfile.mkdtemp(prefix="bench", dir="/tmp"))
    content = tiny_params()
    content["publish"]["registry"] = "s3://drdd/models"
    make_project(root, content)
    ports = Ports(free_port(10_000), *(free_port() for _ in range(4)))
    try:
        stack.up(root, ports)
        yield Project(root)
    finally:
        stack.down(root)
        shutil.rmtree(root, ignore_errors=True)


def concurrent(one: Project, count: int) -> dict[str, Any]:
    """Runs with other params each, wished for at once."""
    began = time.monotonic()
    runs = [
        one.start(overrides=[f"tasks.haze.min_psnr_gain={-90 - number}"]) for number in range(count)
    ]
    states = [one.ended(run)["state"]["name"] for run in runs]
    return {"states": states, "seconds": time.monotonic() - began}


def in_a_row(one: Project, count: int) -> list[dict[str, Any]]:
    """Memory and disk every tenth part of so many runs with nothing to do."""
    marks = []
    for number in range(count + 1):
        if number % max(1, count // 10) == 0:
            marks.append({"runs": number, "disk": one.disk(), "memory": one.memory()})
            out.print(f"{number}/{count} runs: {_said(marks[-1])}")
        if number < count:
            one.seconds(one.start())
    return marks


def _said(mark: dict[str, Any]) -> str:
    memory = ", ".join(f"{name} {mb:.0f}" for name, mb in mark["memory"].items())
    return f"disk {mark['disk']:.0f} MB; memory {memory} MB"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="of what has nothing to do")
    parser.add_argument("--at-once", type=int, default=10)
    parser.add_argument("--in-a-row", type=int, default=200)
    given = parser.parse_args()
    found: dict[str, Any] = {"cpus": os.cpu_count()}
    with project() as one:
        with Commands() as commands:
            first = one.start()
            wall = one.seconds(first)
        overhead = wall - covered([*commands.spans, *one.served(first)])
        found["run"] = {
            "seconds": wall,
            "overhead": overhead,
            "of ten minutes": overhead / TEN_MINUTES,
        }
        nothing = [one.seconds(one.start()) for _ in range(given.rounds)]
        name = _experiment(one.root)
        subprocess.run(
            [BIN / "dvc", "exp", "apply", "-q", name],
            cwd=one.root,
            check=True,
            env=os.environ | one.settings,
        )
        repro = [one.timed("dvc", "repro") for _ in range(given.rounds)]
        found["nothing to do"] = {"run": nothing, "dvc repro": repro}
        _show(found)
        if given.at_once:
            found["at once"] = concurrent(one, given.at_once)
        if given.in_a_row:
            found["in a row"] = in_a_row(one, given.in_a_row)
    _show(found)
    RESULTS.write_text(json.dumps(found, indent=1) + "\n")


def _experiment(root: Path) -> str:
    listed = subprocess.run(
        [BIN / "dvc", "exp", "list", "--name-only"],
        cwd=root,
        capture_output=True,
        text=True,
        check=True,
    )
    return listed.stdout.split()[0]


def _show(found: dict[str, Any]) -> None:
    table = Table(box=None)
    table.add_column("what")
    table.add_column("found", justify="right")
    run, nothing = found["run"], found["nothing to do"]
    table.add_row("a run of all stages, tiny params", f"{run['seconds']:.0f} s")
    table.add_row("of it nobody's own work", f"{run['overhead']:.1f} s")
    table.add_row("that is, of a ten-minute run", f"{run['of ten minutes']:.1%}")
    for name, seconds in nothing.items():
        median = statistics.median(seconds)
        table.add_row(
            f"nothing to do: {name}", f"{median:.1f} s ({min(seconds):.1f} to {max(seconds):.1f})"
        )
    if "at once" in found:
        states = found["at once"]["states"]
        good = states.count("Completed")
        table.add_row(
            f"{len(states)} runs at once", f"{good} completed, {found['at once']['seconds']:.0f} s"
        )
    for mark in found.get("in a row", [])[:: max(1, len(found.get("in a row", [])) - 1)]:
        table.add_row(f"after {mark['runs']} runs in a row", _said(mark))
    out.print(table)


if __name__ == "__main__":
    main()
