"""`python -m tests.fuzz [TARGET ...]`: each target for FUZZ_SECONDS (600), FUZZ_JOBS (1) at a time.

Every target has a process of its own, so an input that ends the process is counted too. Prints a table and
writes benchmarks/results/fuzz.json. Ends with 1 if an input failed.
"""

import json
import os
import platform
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from typing import Any

from tests.conftest import ROOT
from tests.fuzz.rooms import TARGETS
from tests.fuzz.run import CORPUS, keep

RESULTS = ROOT / "benchmarks/results/fuzz.json"
COLUMNS = (
    "target",
    "seconds",
    "rounds",
    "unstable",
    "tried",
    "accepted",
    "refused",
    "failed",
    "peak_MiB",
)


def fuzzed(name: str) -> dict[str, Any]:
    seconds = os.environ.get("FUZZ_SECONDS", "600")
    command = [sys.executable, "-W", "ignore", "-m", "tests.fuzz.run", name, seconds]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, cwd=ROOT, check=False)
    if done.returncode == 0:
        result: dict[str, Any] = json.loads(done.stdout)
        return result
    said = f"the process ended with {done.returncode}"
    current = CORPUS / f".current-{name}"
    failures = {said: keep(name, current.read_bytes())} if current.exists() else {said: ""}
    return dict.fromkeys(COLUMNS, 0) | {"target": name, "failed": 1, "failures": failures}


def main(names: Sequence[str]) -> int:
    if unknown := [name for name in names if name not in TARGETS]:
        sys.stderr.write(f"no target {', '.join(unknown)}; there are {', '.join(TARGETS)}\n")
        return 2
    with ThreadPoolExecutor(int(os.environ.get("FUZZ_JOBS", "1"))) as pool:
        found = list(pool.map(fuzzed, names or TARGETS))
    for row in (COLUMNS, *([str(one[name]) for name in COLUMNS] for one in found)):
        sys.stdout.write("".join(f"{cell:>10}" for cell in row) + "\n")
    for one in found:
        for place, file in one["failures"].items():
            sys.stdout.write(
                f"{one['target']}: {place}: tests/fuzz/corpus/{one['target']}/{file}\n"
            )
    machine = {"python": platform.python_version(), "cores": os.cpu_count()}
    versions = {name: version(name) for name in ("hypothesis", "pillow", "torch", "fastapi")}
    if not names:
        content = {"machine": machine | versions, "targets": found}
        RESULTS.write_text(json.dumps(content, indent=1) + "\n")
    return int(any(one["failed"] for one in found))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
