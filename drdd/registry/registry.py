"""Published models: immutable versions named by their content, and aliases that point to them.

    versions/<id>/<file>            the files
    versions/<id>/manifest.json     written last: a version without it does not exist
    aliases/<name>.json             {"version": <id>, ...}

<id> is the first 12 hexadecimal digits of the SHA-256 over "<sha256>  <name>" lines, one a file,
sorted by name. So a version cannot change, and publishing the same files again changes nothing.
Every reader derives the id anew from the manifest: one that was changed with its files is found.
"""

import difflib
import hashlib
import json
import re
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

from drdd.errors import UserError
from drdd.files import write_json
from drdd.store import Store

MANIFEST = "manifest.json"
_NAME = r"\w[\w.-]*"  # no leading dot: neither "..", nor a temporary file's name
_ALIAS = re.compile(_NAME, re.ASCII)
_FILE = re.compile(rf"{_NAME}(/{_NAME})*", re.ASCII)
_ID = re.compile(r"[0-9a-f]{12}")


@dataclass(frozen=True)
class File:
    sha256: str
    size: int


@dataclass(frozen=True)
class Version:
    """created: ISO 8601, UTC; about: what the publisher said of it (metrics, git revision, ...)."""

    id: str
    uri: str
    created: str
    files: Mapping[str, File]
    about: Mapping[str, Any]

    @property
    def size(self) -> int:
        return sum(file.size for file in self.files.values())


class Registry:
    """A registry in a folder or below an s3:// prefix.

    Every method raises UserError when the store refuses, TransientError when it does not answer.
    """

    def __init__(self, store: Store) -> None:
        self._store = store

    @classmethod
    def open(cls, uri: str) -> "Registry":
        """S3 endpoint, keys and region come from the standard AWS_* environment."""
        return cls(Store(uri))

    @property
    def uri(self) -> str:
        return self._store.uri

    def publish(self, files: Mapping[str, Path | bytes], about: Mapping[str, Any]) -> Version:
        """Write a version; one that is there already is returned as it is.

        Each file is read back and compared before the manifest makes the version visible. Of
        publishers that race with the same files, the last one's `about` stays. Raises UserError
        also for a file name that is not relative, of letters, digits, ".", "_", "-" and "/".
        """
        for name in files:
            if name == MANIFEST or not _FILE.fullmatch(name):
                raise UserError(f"{self.uri}: {name!r} cannot be the name of a published file")
        listed = {name: _file(files[name]) for name in sorted(files)}
        id_ = version_id(listed)
        if existing := self._version(id_):
            return existing
        for name, file in listed.items():
            path = f"versions/{id_}/{name}"
            self._store.put(path, files[name])
            if self._store.sha256(path) != file.sha256:
                raise UserError(f"{self.uri}/{path}: the store gave back other bytes than it got")
        manifest = {
            "id": id_,
            "created": datetime.now(UTC).isoformat(timespec="milliseconds"),
            "files": {name: vars(file) for name, file in listed.items()},
            "about": dict(about),
        }
        content = json.dumps(manifest, indent=2, allow_nan=False).encode()
        self._store.put(f"versions/{id_}/{MANIFEST}", content)
        if (published := self._version(id_)) is None:
            raise UserError(f"{self.uri}: the store does not give back the manifest of {id_}")
        return published

    def set_alias(self, name: str, version: str) -> None:
        """Point `name` to a version, given by its full id. Raises UserError if there is none."""
        if not _ALIAS.fullmatch(name):
            raise UserError(f"{self.uri}: {name!r} cannot be an alias (letters, digits, ._-)")
        if self._version(version) is None:
            raise UserError(f"{self.uri}: no version {version!r} to call {name!r}")
        moved = datetime.now(UTC).isoformat(timespec="seconds")
        content = json.dumps({"version": version, "moved": moved}, indent=2).encode()
        self._store.put(f"aliases/{name}.json", content)

    def aliases(self) -> dict[str, str]:
        """Alias -> version id."""
        found = {}
        for name in self._store.names("aliases"):
            try:
                found[Path(name).stem] = str(json.loads(self._store.get(name) or b"")["version"])
            except (ValueError, KeyError, TypeError):
                raise UserError(f"{self.uri}/{name} is damaged; set the alias again") from None
        return found

    def pointed(self, alias: str) -> Version | None:
        """What `alias` points to; None when there is no such alias, or its version is lost."""
        return self._version(self.aliases().get(alias, ""))

    def versions(self) -> list[Version]:
        """Newest first."""
        found = []
        for name in self._store.names("versions"):
            folder, _, file = name.removeprefix("versions/").partition("/")
            if file == MANIFEST and (version := self._version(folder)):
                found.append(version)
        return sorted(found, key=lambda version: (version.created, version.id), reverse=True)

    def resolve(self, ref: str) -> Version:
        """By alias, id, or an unambiguous beginning of an id. Raises UserError for any other."""
        aliases = self.aliases()
        if version := self._version(aliases.get(ref, ref)):
            return version
        if ref in aliases:
            raise UserError(f"{self.uri}: {ref!r} points to {aliases[ref]!r}, which is not there")
        versions = self.versions()
        ids = [version.id for version in versions]
        begins = [id_ for id_ in ids if ref and id_.startswith(ref)]
        if len(begins) == 1:
            return versions[ids.index(begins[0])]
        if begins:
            raise UserError(f"{self.uri}: {ref!r} may be any of {', '.join(begins)}")
        known = [*aliases, *ids]
        near = difflib.get_close_matches(ref, known, n=3, cutoff=0.3)
        said = f"nearest: {', '.join(near)}" if near else f"there are {len(ids)} versions"
        raise UserError(f"{self.uri}: no model {ref!r}; {said} (`drdd models list`)")

    def verify(self, ref: str) -> list[str]:
        """Read every byte of a version back; what is wrong with it, in sentences."""
        version = self.resolve(ref)
        problems = []
        for name, file in version.files.items():
            actual = self._store.sha256(f"versions/{version.id}/{name}")
            if actual is None:
                problems.append(f"{name} is missing")
            elif actual != file.sha256:
                problems.append(f"{name} has SHA-256 {actual}, the manifest says {file.sha256}")
        return problems

    def pull(self, ref: str, destination: Path) -> Version:
        """Download a version and check every hash; `destination` appears whole or not at all.

        A destination that holds exactly this version is kept. Raises UserError when it holds
        anything else, or when a file is not what the manifest says.
        """
        version = self.resolve(ref)
        if _occupied(destination):
            _refuse_other(destination, version)
            return version
        try:
            destination.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(prefix=".pull-", dir=destination.parent) as scratch:
                folder = Path(scratch) / version.id
                self._download(version, folder)
                _move(folder, destination, version)
        except OSError as error:
            raise UserError(f"{destination} cannot be written: {error}") from error
        return version

    def _download(self, version: Version, folder: Path) -> None:
        for name in version.files:
            self._store.fetch(f"versions/{version.id}/{name}", folder / name)
        write_json(folder / MANIFEST, _manifest(version))
        if problems := check(folder, version.id):
            raise UserError(f"{version.uri} is damaged: {'; '.join(problems)}")

    def _version(self, id_: str) -> Version | None:
        """None when there is no manifest. Raises UserError when it is damaged."""
        if not _ID.fullmatch(id_):
            return None
        uri = f"{self.uri}/versions/{id_}"
        content = self._store.get(f"versions/{id_}/{MANIFEST}")
        try:
            return None if content is None else _parsed(content, id_, uri)
        except ValueError as error:
            raise UserError(
                f"{uri}/{MANIFEST} {error}; delete this version and publish its files again"
            ) from None


def version_id(files: Mapping[str, File]) -> str:
    lines = "".join(f"{files[name].sha256}  {name}\n" for name in sorted(files))
    return sha256(lines.encode()).hexdigest()[:12]


def check(folder: Path, id_: str) -> list[str]:
    """What is wrong with a pulled version in `folder`, in sentences; [] when every hash is right."""
    try:
        version = _parsed((folder / MANIFEST).read_bytes(), id_, str(folder))
    except OSError:
        return [f"{MANIFEST} is missing"]
    except ValueError as error:
        return [f"{MANIFEST} {error}"]
    found = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    strange = sorted(found - {*version.files, MANIFEST})
    problems = [f"{name} does not belong to it" for name in strange]
    for name, file in version.files.items():
        if name not in found:
            problems.append(f"{name} is missing")
        elif _file(folder / name).sha256 != file.sha256:
            problems.append(f"{name} does not have the manifest's SHA-256 {file.sha256}")
    return problems


def _parsed(content: bytes, id_: str, uri: str) -> Version:
    """Raises ValueError unless `content` is a manifest whose files make up version `id_`."""
    try:
        manifest = json.loads(content)
        files = {name: File(**file) for name, file in manifest["files"].items()}
        version = Version(manifest["id"], uri, manifest["created"], files, manifest["about"])
    except (ValueError, KeyError, TypeError, AttributeError):
        raise ValueError("is not a manifest") from None
    safe = all(_FILE.fullmatch(name) for name in files)
    if not safe or {version.id, version_id(files)} != {id_}:
        raise ValueError(f"lists files that do not make up version {id_}")
    return version


def _manifest(version: Version) -> dict[str, Any]:
    return {
        "id": version.id,
        "created": version.created,
        "files": {name: vars(file) for name, file in version.files.items()},
        "about": dict(version.about),
    }


def _file(content: Path | bytes) -> File:
    if isinstance(content, bytes):
        return File(sha256(content).hexdigest(), len(content))
    with content.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256")
        return File(digest.hexdigest(), stream.tell())


def _occupied(folder: Path) -> bool:
    return folder.exists() and (not folder.is_dir() or any(folder.iterdir()))


def _refuse_other(folder: Path, version: Version) -> None:
    if problems := check(folder, version.id):
        raise UserError(f"{folder} exists and holds something else: {problems[0]}; name another")


def _move(folder: Path, destination: Path, version: Version) -> None:
    """Into an empty or absent place; if another pull was first there, its result is checked."""
    try:
        folder.rename(destination)
    except OSError:
        if not _occupied(destination):
            raise
        _refuse_other(destination, version)
