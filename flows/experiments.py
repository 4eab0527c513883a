"""Save the results of a run as a DVC experiment: a commit on no branch, listed by `dvc exp show`.

`dvc exp save` cannot be used: it needs every output in the workspace, and its notes are in refs shared by
all worktrees of a repository, so two runs could not end at the same time.
"""

from collections.abc import Iterator
from pathlib import Path

from dvc.repo.experiments.refs import ExpRefInfo

from flows.git import commit_tree, git, worktree_tree
from flows.graph import LOCK


def save(workspace: Path, baseline: str, name: str) -> str | None:
    """Save the experiment and return its name. Runs with identical results share one experiment.

    Returns None when nothing differs from the baseline commit.
    """
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
    git(workspace, "update-ref", str(ExpRefInfo(baseline, free)), commit, "")
    return free


def resume(workspace: Path, baseline: str) -> None:
    """Start from the dvc.lock of an earlier run on the same files, if there is one."""
    tree = worktree_tree(workspace)
    for _, commit in _known(workspace, baseline):
        changed = git(workspace, "diff-tree", "-r", "--name-only", tree, f"{commit}^{{tree}}")
        if changed == str(LOCK):
            git(workspace, "restore", f"--source={commit}", "--", str(LOCK))
            return


def _known(root: Path, baseline: str) -> Iterator[tuple[str, str]]:
    """Names and commits of the experiments on a baseline commit, newest first."""
    prefix = str(ExpRefInfo(baseline))
    how = ("--sort=-committerdate", "--format=%(objectname) %(refname)")
    for line in git(root, "for-each-ref", *how, f"{prefix}/").splitlines():
        commit, name = line.split(" ", 1)
        yield name.removeprefix(f"{prefix}/"), commit
