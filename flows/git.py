"""Calls of git. A name of somebody else's is checked first, and follows `--end-of-options` or `--`."""

import os
import re
import subprocess
import tempfile
from pathlib import Path

from drdd.errors import UserError
from drdd.shown import printable


def git(
    root: Path, *arguments: str, or_else: str | None = None, given: str = "", **settings: str
) -> str:
    """Run git and return its output. settings: environment variables; or_else: returned when git fails.

    given: the standard input. Names that are no UTF-8 have surrogates, as os.fsdecode gives them.
    Raises UserError when git fails and `or_else` is None.
    """
    result = subprocess.run(
        ["git", *arguments],
        cwd=root,
        env=os.environ | settings,
        input=given,
        capture_output=True,
        encoding="utf-8",
        errors="surrogateescape",
    )
    if result.returncode == 0:
        return result.stdout.strip("\n")
    if or_else is not None:
        return or_else
    raise UserError(
        f"git {arguments[0]} failed in {root}: {printable(result.stderr.strip(), lines=True)}; "
        "a run needs a git checkout with at least one commit"
    )


def commit_of(root: Path, name: str) -> str | None:
    """The commit of a branch, a tag or a commit, such as main, v1 or HEAD~2; None when git knows none.

    Raises UserError when git's rules allow no such name.
    """
    checked(name)
    named = f"{name}^{{commit}}"
    found = git(root, "rev-parse", "--verify", "--quiet", "--end-of-options", named, or_else="")
    return found or None


def checked(name: str) -> str:
    """The name itself, if by git's rules it may be one; a suffix such as ~2 or ^ may follow it.

    Git would read a name that begins with - as an option, and some options run commands. Raises UserError.
    """
    stem = re.sub(r"([~^]\d*)+\Z", "", name)
    legal = not name.startswith("-") and "\0" not in name
    command = ["git", "check-ref-format", f"refs/heads/{stem}"]
    if not legal or subprocess.run(command, stderr=subprocess.DEVNULL).returncode:
        raise UserError(f"{name!r} is no name of a branch, tag or commit; name one that git lists")
    return name


def worktree_tree(root: Path) -> str:
    """Write a tree of the present files, including new ones, without changing the user's index.

    New links to places on this machine are left out, since they are invalid elsewhere, and so are new
    folders that are repositories of their own, of which git would note a commit alone.
    """
    with tempfile.TemporaryDirectory() as folder:
        index = {"GIT_INDEX_FILE": str(Path(folder) / "index")}
        git(root, "read-tree", "HEAD", **index)
        # With -z, names of any letters are listed as they are, line breaks too.
        new = git(root, "ls-files", "-z", "--others", "--exclude-standard", **index).split("\0")
        left_out = [name for name in new if name.endswith("/") or _leads_away(root / name)]
        wanted = "\0".join([".", *(f":(exclude,literal){name}" for name in left_out)])
        # By standard input, since there may be more of them than a command line takes.
        git(
            root,
            "add",
            "--all",
            "--pathspec-from-file=-",
            "--pathspec-file-nul",
            given=wanted,
            **index,
        )
        return git(root, "write-tree", **index)


def _leads_away(path: Path) -> bool:
    return path.is_symlink() and path.readlink().is_absolute()


def commit_tree(root: Path, tree: str, parent: str, message: str) -> str:
    identity = {
        f"GIT_{who}_{what}": value
        for who in ("AUTHOR", "COMMITTER")
        for what, value in (("NAME", "drdd"), ("EMAIL", "drdd@localhost"))
    }
    return git(root, "commit-tree", tree, "-p", parent, "-m", message, **identity)
