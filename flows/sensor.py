"""The deployment `drdd-watch/watch`: starts one run for each change of data or params."""

import json
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

from prefect import flow
from prefect.client.schemas.objects import State
from prefect.deployments import run_deployment
from prefect.states import Completed
from prefect.variables import Variable

from drdd.errors import UserError
from drdd.params import FILE, load
from drdd.storage.filesystems import explained, open_filesystem
from flows.git import checked, commit_of, git
from flows.workspace import sources_of

STATE = "drdd_watch"  # the Prefect variable with the state of the sensor
VERSIONED = ("params.yaml", "dvc.yaml", "*.dvc")


@flow(name="drdd-watch")
def watch(
    prefixes: list[str] = [],  # noqa: B006 - Prefect shows the default in its form
    branch: str = "",
    deployment: str = "full-pipeline",
) -> State[None]:
    """Compare the present state with the last. A change starts a run when two checks in a row find it, so
    an upload of many objects starts one run; the first check of all starts none.

    Args:
        prefixes: S3 prefixes to watch, s3://bucket/prefix. Empty: every source in params on S3.
        branch: The branch to watch and run. Empty: the commit of the project folder.
        deployment: The deployment of the flow drdd to start.
    """
    root = Path.cwd()
    digest = look(root, prefixes, branch)
    name = f"{STATE}_{sha256(json.dumps([sorted(prefixes), branch, deployment]).encode()).hexdigest()[:8]}"
    known: Any = Variable.get(name, default=None)
    after, start = step(known, digest)
    said = "nothing has changed"
    if start:
        # Before the state is written: if the check dies in between, it is repeated with the same key.
        key = f"{name}-{after['count']}-{digest}"
        rev = {"rev": branch} if branch else {}
        run: Any = run_deployment(
            f"drdd/{deployment}", parameters=rev, idempotency_key=key, timeout=0, as_subflow=False
        )
        said = f"what is watched has changed: started {run.name}"
    elif known is None:
        said = "this is what will be compared with"
    elif after["pending"]:
        said = "what is watched is changing"
    if after != known:
        Variable.set(name, after, overwrite=True)
    return Completed(message=said)


def look(root: Path, prefixes: list[str], branch: str) -> str:
    """A digest of the watched objects' names, sizes and ETags, and of the commit's data and params.

    Raises UserError when there is no such branch or a store refuses, TransientError when a store does not
    answer.
    """
    if branch and git(root, "remote"):
        where = f"refs/heads/{checked(branch)}"
        git(root, "fetch", "--quiet", "--end-of-options", "origin", where)
        commit = git(root, "rev-parse", "FETCH_HEAD")
    elif (commit := commit_of(root, branch or "HEAD") or "") == "":
        raise UserError(f"branch {branch!r} is not in {root}; name one of `git branch --list`")
    versioned = [
        line
        for line in git(root, "ls-tree", "-r", "-z", commit).split("\0")
        if line and any(Path(line.split("\t", 1)[1]).match(pattern) for pattern in VERSIONED)
    ]
    named = prefixes or [uri for uri in sources_of(load(root / FILE)) if uri.startswith("s3://")]
    objects = {uri: _objects(uri) for uri in named}
    return sha256(json.dumps([versioned, objects], sort_keys=True).encode()).hexdigest()


def step(known: Mapping[str, Any] | None, digest: str) -> tuple[dict[str, Any], bool]:
    """The new state of the sensor, and whether to start a run.

    Keys: seen, the digest of the last run; pending, the digest of the last check, if different; count, of
    runs.
    """
    if known is None:
        return {"seen": digest, "pending": None, "count": 0}, False
    if digest == known["seen"]:
        return {**known, "pending": None}, False
    if digest != known["pending"]:
        return {**known, "pending": digest}, False
    return {"seen": digest, "pending": None, "count": known["count"] + 1}, True


def _objects(uri: str) -> list[tuple[str, int, str]]:
    filesystem, path = open_filesystem(uri)
    with explained(uri):
        found = filesystem.find(path, detail=True)
    return sorted((name, info["size"], str(info.get("ETag"))) for name, info in found.items())
