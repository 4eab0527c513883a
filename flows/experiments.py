"""The result of a run as a DVC experiment: a commit on no branch, which `dvc exp show` lists.

The commit and its ref are written with git, not by `dvc exp save`: that needs every output in the
workspace, and uses refs that all worktrees of a repository share: two runs could not end at once.
"""

from collections.abc import Iterator
from pathlib import Path

from dvc.repo.experiments.refs import ExpRefInfo

from flows.git import commit_tree, git, worktree_tree
from flows.graph import LOCK


def save(workspace: Path, baseline: str, name: str) -> str | None:
    """The experiment's name, or that of an identical one; None when nothing differs from the commit."""
    tree = worktree_tree(workspace)
    if tree == git(workspace, "rev-parse", f"{baseline}^{{tree}}"):
        return None
    taken = {}
    for known, commit in _known(workspace, baseline):
        if git(workspace, "rev-parse", f"{commit}^{{tree}}") == tree:
            return known
        taken[known] = commit
    number, free = 1, name
    while free in taken:
        number += 1
        free = f"{name}-{number}"
    commit = commit_tree(workspace, tree, baseline, f"drdd: {free}")
    ref = str(ExpRefInfo(baseline, free))
    git(workspace, "update-ref", "--end-of-options", ref, commit, "")
    return free


def resume(workspace: Path, baseline: str) -> None:
    """Take the dvc.lock of the newest experiment that began with the same files, if there is one."""
    tree = worktree_tree(workspace)
    for _, commit in _known(workspace, baseline):
        changed = git(workspace, "diff-tree", "-r", "--name-only", tree, f"{commit}^{{tree}}")
        if changed == str(LOCK):
            git(workspace, "restore", f"--source={commit}", "--", str(LOCK))
            return


def _known(root: Path, baseline: str) -> Iterator[tuple[str, str]]:
    """Names and commits of the experiments on a baseline commit, newest first."""
    prefix = str(ExpRefInfo(baseline))
    order, form = "--sort=-committerdate", "--format=%(objectname) %(refname)"
    listed = git(root, "for-each-ref", order, form, "--end-of-options", f"{prefix}/")
    for line in listed.splitlines():
        commit, name = line.split(" ", 1)
        yield name.removeprefix(f"{prefix}/"), commit
