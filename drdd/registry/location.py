"""Find the registry, open its store, and cache pulled models."""

import os
import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

from drdd.base.shipped import base_folder
from drdd.checkpoints.kinds import kind_at
from drdd.errors import TransientError, UserError
from drdd.files import is_file
from drdd.first_bytes import PICKLE, SAFETENSORS, ZIP
from drdd.params import BASE, FILE, load
from drdd.registry.manifest import is_ref
from drdd.registry.pruning import mark_used, prune
from drdd.registry.pulling import check
from drdd.registry.registry import Registry
from drdd.shown import shortened

CACHE = Path(".drdd/models")  # in a project
LOCAL_STACK = "drdd.local_stack"
_PUBLISHED = re.compile(r"(?P<registry>.+)/versions/(?P<id>[0-9a-f]{6,64})/?")


def default_registry(root: Path = Path()) -> str:
    """DRDD_REGISTRY, else publish.registry of params.yaml."""
    return os.environ.get("DRDD_REGISTRY") or load(root / FILE).publish.registry


def is_project(root: Path) -> bool:
    return (root / FILE).is_file()


def is_local_stack(uri: str, environment: Mapping[str, str] = os.environ) -> bool:
    """Whether `uri` is a bucket of the local stack: it is unless the environment configures another S3."""
    given = {
        "AWS_ACCESS_KEY_ID",
        "AWS_PROFILE",
        "AWS_SHARED_CREDENTIALS_FILE",
        "AWS_WEB_IDENTITY_TOKEN_FILE",
        "AWS_CONTAINER_CREDENTIALS_FULL_URI",
        "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    }
    return uri.startswith("s3://") and not given & environment.keys()


def open_registry(uri: str, root: Path = Path()) -> Registry:
    """Raises UserError when `uri` is a bucket of a local stack that was never started.

    Outside of a project there is no local stack; keys come from where boto looks for them.
    """
    if not is_local_stack(uri) or not is_project(root):
        return Registry.open(uri)
    os.environ.update(_local_stack("environment")(root))
    try:
        return Registry.open(uri)
    except TransientError as error:
        raise TransientError(f"{error}; `drdd up` starts the local stack") from error


def is_published(alias: str, uri: str, root: Path = Path()) -> bool:
    """Whether `alias` exists in the registry; it does not in a bucket of a local stack that never started.

    Raises TransientError when the store does not answer.
    """
    if is_local_stack(uri) and is_project(root):
        try:
            _local_stack("environment")(root)
        except UserError:
            return False
    return open_registry(uri, root).aliases.get(alias) is not None


@contextmanager
def reachable(uri: str, root: Path = Path()) -> Iterator[None]:
    """Make the registry's store available in the block; if needed, start the S3 of the local stack.

    Its AWS_* settings are set in the environment only inside the block, because later code in the process,
    such as training, must not use a store that has stopped.
    """
    if not is_local_stack(uri):
        yield
        return
    with _local_stack("ensure_s3")(root) as settings:
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


def _local_stack(function: str) -> Any:
    """A function of the package that runs the local stack, by its entry point in LOCAL_STACK.

    environment: root -> the environment of the stack's clients; raises UserError if no stack was ever
    started there. ensure_s3: root -> a context manager that yields this while the stack's S3 runs.
    """
    return entry_points(group=LOCAL_STACK)[function].load()


def cached(ref: str, uri: str, root: Path = Path()) -> Path:
    """A verified local copy of a published model. A damaged copy is pulled again.

    It is in the project at `root`, or in the user's cache folder if there is no project. The registry is
    always asked: the copy is compared, byte by byte, with the manifest there, whose signature is checked.
    """
    registry = open_registry(uri, root)
    version = registry.resolve(ref)
    folder = cache_folder(root) / version.id
    if check(folder, version):
        if folder.is_symlink() or folder.is_file():  # what is no folder of ours, but in its place
            folder.unlink()
        shutil.rmtree(folder, ignore_errors=True)
        registry.pull(version.id, folder)
        prune(folder.parent, registry)
    mark_used(folder)
    return folder


def cache_folder(root: Path = Path()) -> Path:
    if is_project(root):
        return root / CACHE
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "drdd" / "models"


def folder_of(uri: str | Path) -> Path:
    """A local folder of the model at `uri`, one of:

    - base: the one that ships with drdd; a folder of this name is ./base
    - REGISTRY/versions/ID, such as s3://bucket/models/versions/0123456789ab: a published version, by its
      id or the first digits of it, never by an alias
    - REGISTRY@REF, such as s3://bucket/models@champion: by alias, id, or the beginning of an id
    - a model folder
    - an alias or an id alone: in the registry of DRDD_REGISTRY, or of the project's params.yaml

    Published models are pulled into a cache, and every hash is checked. Raises UserError when the model
    does not exist.
    """
    if not isinstance(uri, str | os.PathLike) or not str(uri).strip():
        raise UserError(
            f"{uri!r} names no model; name base, a model folder, or s3://bucket/models@champion"
        )
    text = str(uri)
    if text == BASE:
        return base_folder()
    if match := _PUBLISHED.fullmatch(text):
        return cached(match["id"], match["registry"])
    if is_file(Path(text) / "config.json"):
        return Path(text)
    registry, at, ref = text.rpartition("@")
    if at and registry and is_ref(ref):
        return cached(ref, registry)
    if is_ref(text) and (os.environ.get("DRDD_REGISTRY") or is_project(Path())):
        return cached(text, default_registry())
    if is_file(text):
        kind = kind_at(Path(text))
        if kind and kind not in (ZIP, SAFETENSORS, PICKLE):  # which may be the authors' checkpoint
            what_to_do = "name the folder of a model" if kind.format else kind.advice
            raise UserError(f"{shortened(text)} is no model but {kind.name}", what_to_do)
        remedy = "name the folder; `drdd models import` makes one of the authors' checkpoint"
        raise UserError(f"{text} is a file; a model is a folder with config.json", remedy)
    raise UserError(
        f"{shortened(text)} is no model: neither base, nor a model folder (config.json, "
        "model.safetensors), nor REGISTRY@ALIAS, nor REGISTRY/versions/ID, such as s3://bucket/models@champion"
    )
