"""`python -m flows.worker`: registers, then becomes the worker of the pool on this machine."""

import os

from flows.register import POOL, PREFECT, register

LIMIT = 4  # runs at once

if __name__ == "__main__":
    register("process")
    command = (PREFECT, "worker", "start", "--pool", POOL, "--type", "process")
    os.execv(PREFECT, (*command, "--limit", str(LIMIT)))
