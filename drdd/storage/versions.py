"""Locate a version of a shard in the workspace, in DVC's cache or in DVC's remote.

An `Address` is all that a worker on a machine without a checkout needs. In DVC's cache and remote, files
are addressed by their MD5.
"""

import json
import os
import shutil
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from hashlib import file_digest
from pathlib import Path
from typing import Any

from drdd.errors import UserError
from drdd.files import atomic_path
from drdd.storage.filesystems import explained, open_filesystem

ENDPOINTS = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL")
NO_REMOTE = (
    "there is no DVC remote, from which other machines read data; "
    "`dvc remote add -d storage s3://bucket/prefix`"
)


LISTING = "shards.json"


@dataclass(frozen=True)
class Shard:
    """A file of pictures: its path below the folder, rows, bytes, and MD5, as in DVC."""

    file: str
    rows: int
    size: int
    md5: str


def listed(folder: Path) -> list[Shard]:
    """The shards in `folder`."""
    return [Shard(**shard) for shard in json.loads((folder / LISTING).read_text())]


@dataclass(frozen=True)
class Address:
    """The places of one shard.

    path: in the workspace of the driver; cached: in its DVC cache; remote: in its DVC remote, a URL or a
    path; ids: of its pictures, by row; endpoint: of the S3 server of `remote`, if DVC's configuration sets
    one. An address holds no keys.
    """

    shard: Shard
    path: Path
    ids: tuple[str, ...]
    cached: Path | None = None
    remote: str | None = None
    endpoint: str | None = None


def addresses(folders: Iterable[Path], wanted: frozenset[str] | None = None) -> list[Address]:
    """The addresses of the shards in `folders` that hold any of the wanted ids; by default of all."""
    import pyarrow.parquet as pq

    found = []
    for folder in folders:
        for shard in listed(folder):
            path = (folder / shard.file).absolute()
            ids = tuple(pq.read_table(path, columns=["id"], memory_map=True)["id"].to_pylist())
            if wanted is None or not wanted.isdisjoint(ids):
                found.append(Address(shard, path, ids))
    return found


def versioned(shards: Sequence[Address]) -> list[Address]:
    """Add the places in DVC's cache and remote to the addresses, if this is a DVC repository.

    The remote is not accessed. Raises UserError when DVC's configuration is invalid.
    """
    with _repository() as repo:
        if repo is None:
            return list(shards)
        cache, remote = repo.cache.local, _remote(repo)
        endpoint = remote and remote.fs.config.get("endpointurl")
        return [
            replace(
                one,
                cached=Path(cache.oid_to_path(one.shard.md5)),
                remote=remote and _url(remote, remote.oid_to_path(one.shard.md5)),
                endpoint=endpoint,
            )
            for one in shards
        ]


def push(shards: Iterable[Address]) -> int:
    """Push the missing shards to DVC's remote, like `dvc push`. Returns their number.

    This needs no lock of DVC, since objects are only added, under the hash of their content.
    Raises UserError when there is no remote, it refuses, or a shard of the workspace is damaged;
    TransientError when the remote does not answer.
    """
    paths = {one.shard.md5: one.path for one in shards}
    with _repository() as repo:
        remote = repo and _remote(repo)
        if remote is None:
            raise UserError(NO_REMOTE)
        from dvc.fs import localfs

        with explained(_url(remote, remote.path)):
            new = sorted(paths.keys() - set(remote.oids_exist(paths)))
            for md5 in new:
                if (found := _md5(paths[md5])) != md5:
                    raise UserError(
                        f"shard {paths[md5]}: its content has MD5 {found}, expected {md5}; "
                        "delete it and run `dvc checkout`"
                    )
            if new:
                remote.add([str(paths[md5]) for md5 in new], localfs, new, check_exists=False)
    return len(new)


def shared_folder(name: str) -> str:
    """A folder in DVC's remote, beside its objects, that all machines can reach; a URL or a path.

    Each machine accesses it with the endpoint and keys of its own environment.
    Raises UserError when there is no remote or it refuses, TransientError when it does not answer.
    """
    with _repository() as repo:
        remote = repo and _remote(repo)
        if remote is None:
            raise UserError(NO_REMOTE)
        objects, endpoint = _url(remote, remote.path), remote.fs.config.get("endpointurl")
    url = f"{objects.removesuffix('/files/md5')}/{name}"
    _refuse_unknown_endpoint(url, endpoint)
    filesystem, path = open_filesystem(url)
    with explained(url):
        filesystem.exists(f"{path}/")
    return url


def at_hand(address: Address) -> Path:
    """A local file of the shard. If there is none, it is fetched from the remote, verified and cached.

    Of an existing file only the size is checked; pictures are verified when they are read. Raises UserError
    when the shard is not found or does not match its address, TransientError when the remote does not
    answer.
    """
    kept = node_cache() / address.shard.md5
    for place in (address.path, address.cached, kept):
        if place is not None and _has_size(place, address.shard.size):
            if place == kept:
                os.utime(kept)  # `drdd doctor --clean` deletes what was not used for long
            return place
    if address.remote is None:
        raise UserError(f"shard {address.path} is not on this machine, and {NO_REMOTE}")
    _refuse_unknown_endpoint(address.remote, address.endpoint)
    with atomic_path(kept) as temporary:
        _fetch(address.remote, temporary)
        if (md5 := _md5(temporary)) != address.shard.md5:
            raise UserError(
                f"{address.remote}: its content has MD5 {md5}, so it is damaged; "
                "delete it there and `dvc push` again"
            )
    return kept


def node_cache() -> Path:
    """The folder of this machine for fetched shards: DRDD_SHARD_CACHE, else in the user's cache folder."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(os.environ.get("DRDD_SHARD_CACHE") or Path(base) / "drdd" / "shards")


@contextmanager
def _repository() -> Iterator[Any]:
    """The DVC repository of the current folder, or None."""
    from dvc.config import ConfigError
    from dvc.exceptions import NotDvcRepoError
    from dvc.repo import Repo

    try:
        repo = Repo()
    except NotDvcRepoError:
        yield None
        return
    except ConfigError as error:
        raise UserError(f"DVC's configuration: {error}; see `dvc config --list`") from error
    with repo:
        yield repo


def _remote(repo: Any) -> Any:
    """The objects of the default remote, or None without one."""
    from dvc.config import ConfigError

    name = repo.config["core"].get("remote")
    try:
        return repo.cloud.get_remote_odb(name) if name else None
    except ConfigError as error:
        raise UserError(f"DVC's remote {name!r}: {error}; see `dvc remote list`") from error


def _url(remote: Any, path: str) -> str:
    url = str(remote.fs.unstrip_protocol(path))
    return url if "://" in url else str(Path(url).absolute())


def _refuse_unknown_endpoint(url: str, endpoint: str | None) -> None:
    """Raises UserError if the driver's DVC configuration has an endpoint and this machine has none."""
    if endpoint and not any(os.environ.get(name) for name in ENDPOINTS):
        raise UserError(
            f"{url} is at {endpoint}, says DVC's configuration where the work is launched; on every "
            "machine that takes part, set AWS_ENDPOINT_URL and the keys in the environment"
        )


def _fetch(remote: str, path: Path) -> None:
    filesystem, source = open_filesystem(remote)
    with explained(remote):
        try:
            with filesystem.open(source, "rb") as reader, path.open("wb") as writer:
                shutil.copyfileobj(reader, writer, 8 * 1024**2)
        except FileNotFoundError:
            raise UserError(
                f"{remote} is not there; `dvc push` on the machine that has it"
            ) from None


def _md5(path: Path) -> str:
    with path.open("rb") as file:
        return file_digest(file, "md5").hexdigest()


def _has_size(path: Path, size: int) -> bool:
    try:
        return path.stat().st_size == size
    except OSError:
        return False
