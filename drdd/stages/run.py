"""How every stage starts and ends: params checked, progress reported, errors said in one sentence."""

import os
import signal
import sys
from collections.abc import Callable

from rich.console import Console

from drdd.errors import failure_of
from drdd.params import Params, load
from drdd.progress import Reporter, reporting

EXIT_USER, EXIT_TRANSIENT, EXIT_INTERRUPTED = 2, 75, 130
EXITS = {"user": EXIT_USER, "transient": EXIT_TRANSIENT, "interrupted": EXIT_INTERRUPTED}


def run_stage(stage: str, body: Callable[[Params, Reporter], None]) -> None:
    """Run one stage in the workspace that is the current folder; exits the process when it fails.

    stage: the name in dvc.yaml, with its key where it has one (prepare@rain).
    Exit status: 2 for what the user must put right, 75 for what may pass when tried again, 130 when
    interrupted. An unexpected error keeps its traceback, with status 1.
    """
    os.environ.setdefault("DO_NOT_TRACK", "1")
    # Asked to stop: stop as on Ctrl-C, which a shell's background process would ignore.
    for asked in (signal.SIGTERM, signal.SIGINT):
        signal.signal(asked, signal.default_int_handler)
    try:
        with reporting(stage) as reporter:
            body(load(), reporter)
    except (Exception, KeyboardInterrupt) as error:
        failure = failure_of(error)
        if failure.kind not in EXITS:
            raise
        console = Console(stderr=True, soft_wrap=True, highlight=False)
        console.print(f"[red]{stage}:[/] ", end="")
        passing = " (trying again may help)" if failure.kind == "transient" else ""
        console.print(f"{failure}{passing}", markup=False)
        sys.exit(EXITS[failure.kind])
