"""`python -m flows.worker`: registers, then runs the worker of the pool, and restarts lost runs."""

import os
import signal
import subprocess
import sys
import threading

from flows.lost import HEARTBEAT, HEARTBEAT_S, look_after
from flows.register import arguments, register

LIMIT = "DRDD_RUNS_AT_ONCE"

if __name__ == "__main__":
    os.environ["PREFECT_LOGGING_LEVEL"] = "INFO"  # what stages say is the log of their runs
    os.environ.setdefault(HEARTBEAT, str(HEARTBEAT_S))
    given = arguments(__doc__)
    register(given.type, given.base_job_template)
    command = [sys.executable, "-m", "flows.jobs", "--type", given.type]
    if given.base_job_template:
        command += ["--base-job-template", str(given.base_job_template)]
    worker = subprocess.Popen([*command, "--limit", os.environ.get(LIMIT, "4")])
    for asked in (signal.SIGTERM, signal.SIGINT):
        signal.signal(asked, lambda number, _: worker.send_signal(number))
    threading.Thread(target=look_after, daemon=True).start()
    sys.exit(worker.wait())
