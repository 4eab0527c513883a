"""Another user of this machine, who has none of our keys."""

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

NOBODY = 65534
as_nobody = pytest.mark.skipif(
    os.geteuid() != 0, reason="only root can run a program as another user"
)


def nobody_runs(
    *command: str, stdin: str = "", timeout: float = 60, **environment: str
) -> "subprocess.CompletedProcess[str]":
    """As the user `nobody`, in /, with no environment but PATH and what is given; both outputs in stdout.

    124 is the exit code of a program that was stopped after `timeout` seconds.
    """
    settings: Mapping[str, str] = {"PATH": os.environ["PATH"], "HOME": "/nonexistent"}
    return subprocess.run(
        ["timeout", "--kill-after=1", str(timeout), *command],
        user=NOBODY,
        group=NOBODY,
        extra_groups=(),
        cwd="/",
        env={**settings, **environment},
        input=stdin,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def tokenless_python(code: str, *arguments: str, **environment: str) -> str:
    """What a Python program prints that knows none of our settings, and no home where a token could be.

    It runs as this user, since others need not be able to read this Python: on a network all are the same.
    """
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        env={"PATH": os.environ["PATH"], "HOME": "/nonexistent", **environment},
        cwd="/",
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=120,
    )
    return done.stdout


def reachable_by_nobody(folder: Path) -> list[str]:
    """At and below a folder, all that `nobody` can read, write or connect to."""
    test = ("(", "-writable", "-o", "-readable", ")")
    found = nobody_runs("find", str(folder), "-mindepth", "0", *test, "-print")
    return [line for line in found.stdout.splitlines() if not line.startswith("find:")]
