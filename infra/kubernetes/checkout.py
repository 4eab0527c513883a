"""`python -m infra.kubernetes.checkout FOLDER`: the project's checkout, before a flow run.

A clone of DRDD_REPOSITORY the first time; afterwards its branch DRDD_REVISION is brought up to date. Runs
work in worktrees of their own inside, so nothing is lost. Git speaks to files, SSH and HTTP servers only:
an address such as ext::COMMAND runs nothing.
"""

import fcntl
import os
import subprocess
import sys
from pathlib import Path

from drdd.errors import UserError
from flows.git import checked

PROTOCOLS = "file:git:http:https:ssh"


def checkout(folder: Path, repository: str, revision: str) -> None:
    """One at a time: several runs may begin together. Raises UserError when `revision` can be none."""
    checked(revision)
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".checkout").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / ".git").exists():
            _git(folder, "init", "--quiet")
            (folder / ".git/info/exclude").write_text("/.checkout\n")
            _git(folder, "remote", "add", "--", "origin", repository)
        _git(folder, "remote", "set-url", "--", "origin", repository)
        _git(folder, "fetch", "--quiet", "--tags", "--end-of-options", "origin", revision)
        _git(folder, "checkout", "--quiet", "--force", "-B", "deployed", "FETCH_HEAD")


def _git(folder: Path, *arguments: str) -> None:
    environment = os.environ | {"GIT_ALLOW_PROTOCOL": PROTOCOLS}
    subprocess.run(["git", "-C", str(folder), *arguments], env=environment, check=True)


if __name__ == "__main__":
    if not os.environ.get("DRDD_REPOSITORY"):
        sys.exit("DRDD_REPOSITORY is not set: the address of the project's git repository")
    revision = os.environ.get("DRDD_REVISION") or "HEAD"
    try:
        checkout(Path(sys.argv[1]), os.environ["DRDD_REPOSITORY"], revision)
    except UserError as error:
        sys.exit(f"DRDD_REVISION: {error}")
