"""A DVC project of four stages: a -> b, a -> c, and one that fails; b takes TOY_S seconds and a half."""

import subprocess
from pathlib import Path

from dvc.repo import Repo

DVC_YAML = """
stages:
  first:
    cmd: echo first >> log && cat in > a
    deps: [in]
    outs: [a]
  second:
    cmd: echo second >> log && sleep 0$TOY_S.5 && mkdir b && cp a b/1 && echo x > b/2
    deps: [a]
    outs: [b]
  beside:
    cmd: echo beside >> log && sleep 0.5 && cp a c
    deps: [a]
    outs: [c]
  broken:
    cmd: echo the last word && exit 3
    deps: [a]
    outs: [d]
"""


def make(root: Path, remote: Path | None = None) -> Path:
    root.mkdir(parents=True, exist_ok=True)
    git(root, "init", "-q", "-b", "main")
    git(root, "config", "user.name", "t")
    git(root, "config", "user.email", "t@localhost")
    Repo.init(str(root)).close()
    if remote:
        with (root / ".dvc/config").open("a") as file:
            file.write(f"[core]\n    remote = there\n['remote \"there\"']\n    url = {remote}\n")
    (root / "dvc.yaml").write_text(DVC_YAML)
    (root / "in").write_text("x")
    (root / ".gitignore").write_text("/log\n/.drdd/\n/a\n/b\n/c\n/d\n")
    git(root, "add", "--all")
    git(root, "commit", "-qm", "first")
    return root


def git(root: Path, *arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=root, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def said(root: Path) -> list[str]:
    """The stages that really ran in this workspace, in order."""
    log = root / "log"
    return log.read_text().split() if log.exists() else []
