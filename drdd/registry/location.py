"""Which registry is meant, how its store is reached, and where pulled models are kept."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from drdd.errors import TransientError
from drdd.params import FILE, load
from drdd.registry.registry import Registry, check

CACHE = Path(".drdd/models")


def default_registry(root: Path = Path()) -> str:
    """DRDD_REGISTRY, else publish.registry of params.yaml."""
    return os.environ.get("DRDD_REGISTRY") or load(root / FILE).publish.registry


def is_local_stack(uri: str) -> bool:
    """A bucket is the local stack's unless the environment holds settings for another S3."""
    given = {"AWS_ACCESS_KEY_ID", "AWS_PROFILE", "AWS_WEB_IDENTITY_TOKEN_FILE"}
    return uri.startswith("s3://") and not given & os.environ.keys()


def open_registry(uri: str, root: Path = Path()) -> Registry:
    """Raises UserError when `uri` is a bucket of a local stack that was never started."""
    if not is_local_stack(uri):
        return Registry.open(uri)
    from infra.local.settings import environment

    os.environ.update(environment(root))
    try:
        return Registry.open(uri)
    except TransientError as error:
        raise TransientError(f"{error}; `drdd up` starts the local stack") from error


@contextmanager
def reachable(uri: str, root: Path = Path()) -> Iterator[None]:
    """The registry's store answers within the block: the local stack's is started for it if need be.

    Its AWS_* settings are lent to the environment and taken back: what follows in the process, such
    as training, must not meet a store that has stopped.
    """
    if not is_local_stack(uri):
        yield
        return
    from infra.local.stack import ensure_s3

    with ensure_s3(root) as settings:
        lent = {name: value for name, value in settings.items() if name.startswith("AWS_")}
        before = {name: os.environ.get(name) for name in lent}
        os.environ.update(lent)
        try:
            yield
        finally:
            for name, value in before.items():
                os.environ.pop(name)
                if value is not None:
                    os.environ[name] = value


def cached(ref: str, uri: str, root: Path = Path()) -> Path:
    """A verified local copy of a published model; one that was damaged is pulled again."""
    registry = open_registry(uri, root)
    version = registry.resolve(ref)
    folder = root / CACHE / version.id
    if check(folder, version.id):
        shutil.rmtree(folder, ignore_errors=True)
        registry.pull(version.id, folder)
    return folder
