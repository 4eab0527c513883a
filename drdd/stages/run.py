"""How every stage starts and ends: params checked, progress reported, errors said in one sentence."""

import errno
import os
import signal
import sys
from collections.abc import Callable

from rich.console import Console

from drdd.errors import TransientError, UserError
from drdd.params import Params, load
from drdd.progress import Reporter, reporting

EXIT_USER, EXIT_TRANSIENT, EXIT_INTERRUPTED = 2, 75, 130


def run_stage(stage: str, body: Callable[[Params, Reporter], None]) -> None:
    """Run one stage in the workspace that is the current folder; exits the process when it fails.

    stage: the name in dvc.yaml, with its key where it has one (prepare@rain).
    Exit status: 2 for what the user must put right, 75 for what may pass when tried again.
    """
    os.environ.setdefault("DO_NOT_TRACK", "1")
    # Asked to stop: stop as on Ctrl-C, which a shell's background process would ignore.
    for asked in (signal.SIGTERM, signal.SIGINT):
        signal.signal(asked, signal.default_int_handler)
    console = Console(stderr=True, soft_wrap=True, highlight=False)
    try:
        with reporting(stage) as reporter:
            body(load(), reporter)
    except UserError as error:
        console.print(f"[red]{stage}:[/] ", end="")
        console.print(str(error), markup=False)
        sys.exit(EXIT_USER)
    except TransientError as error:
        console.print(f"[red]{stage}:[/] ", end="")
        console.print(f"{error} (trying again may help)", markup=False)
        sys.exit(EXIT_TRANSIENT)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        console.print(f"[red]{stage}:[/] ", end="")
        console.print(f"{error}; make room and run it again", markup=False)
        sys.exit(EXIT_USER)
    except KeyboardInterrupt:
        console.print(f"{stage}: interrupted; run the same command again to go on")
        sys.exit(EXIT_INTERRUPTED)
