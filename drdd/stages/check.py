"""check: refuse params.yaml as a whole before any other stage works."""

from pathlib import Path

from drdd.files import write_bytes
from drdd.params import Params
from drdd.progress import Reporter
from drdd.stages.run import run_stage


def check(params: Params, reporter: Reporter) -> None:
    # The output is constant, so a change of params reruns this stage and only what reads the change.
    write_bytes(Path("data/params.ok"), b"params.yaml is valid\n")


if __name__ == "__main__":
    run_stage("check", check)
