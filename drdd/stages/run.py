"""Run a stage: load params, report progress, and print errors as one sentence."""

import os
import signal
import sys
from collections.abc import Callable

from drdd.errors import failure_of
from drdd.params import Params, load
from drdd.progress import Reporter, reporting
from drdd.shown import console, printable

EXIT_USER, EXIT_TRANSIENT, EXIT_INTERRUPTED = 2, 75, 130
EXITS = {"user": EXIT_USER, "transient": EXIT_TRANSIENT, "interrupted": EXIT_INTERRUPTED}


def run_stage(stage: str, body: Callable[[Params, Reporter], None]) -> None:
    """Run one stage in the current folder, the workspace; exit the process when it fails.

    stage: the name in dvc.yaml, with its key if it has one (prepare@rain).
    Exit status: 2 for an error that the user must correct, 75 for one that a retry may solve, 130 when
    interrupted. An unexpected error keeps its traceback, with status 1.
    """
    os.environ.setdefault("DO_NOT_TRACK", "1")
    # Handle SIGTERM like Ctrl-C, which background processes of a shell ignore.
    for asked in (signal.SIGTERM, signal.SIGINT):
        signal.signal(asked, signal.default_int_handler)
    try:
        with reporting(stage) as reporter:
            body(load(), reporter)
    except (Exception, KeyboardInterrupt) as error:
        failure = failure_of(error)
        if failure.kind not in EXITS:
            raise
        err = console(stderr=True, soft_wrap=True)
        err.print(f"{stage}: ", style="red", end="")
        passing = " (trying again may help)" if failure.kind == "transient" else ""
        err.print(printable(f"{failure}{passing}", lines=True))
        sys.exit(EXITS[failure.kind])
