"""Published models: immutable versions named by their content, and aliases that point to them.

    versions/<id>/<file>            the files
    versions/<id>/manifest.json     written last: a version without it does not exist
    aliases/<name>.json             {"version": <id>, ...}

<id> is the first 12 hexadecimal digits of the SHA-256 over "<sha256>  <name>" lines, one a file,
sorted by name. So a version cannot change, and publishing the same files again changes nothing.
"""

import difflib
import json
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

from drdd.errors import UserError
from drdd.files import write_json
from drdd.registry.store import Store

MANIFEST = "manifest.json"


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

        Each file is read back and compared before the manifest makes the version visible.
        """
        listed = {name: _file(files[name]) for name in sorted(files)}
        lines = "".join(f"{file.sha256}  {name}\n" for name, file in listed.items())
        id_ = sha256(lines.encode()).hexdigest()[:12]
        if existing := self._version(id_):
            return existing
        for name, file in listed.items():
            path = f"versions/{id_}/{name}"
            self._store.put(path, files[name])
            if self._store.sha256(path) != file.sha256:
                raise UserError(f"{self.uri}/{path}: the store gave back other bytes than it got")
        manifest = {
            "id": id_,
            "created": datetime.now(UTC).isoformat(timespec="seconds"),
            "files": {name: vars(file) for name, file in listed.items()},
            "about": dict(about),
        }
        content = json.dumps(manifest, indent=2, allow_nan=False).encode()
        self._store.put(f"versions/{id_}/{MANIFEST}", content)
        return self._parsed(content)

    def set_alias(self, name: str, version: str) -> None:
        """Point `name` to a version, given by its full id. Raises UserError if there is none."""
        if self._version(version) is None:
            raise UserError(f"{self.uri}: no version {version!r} to call {name!r}")
        moved = datetime.now(UTC).isoformat(timespec="seconds")
        content = json.dumps({"version": version, "moved": moved}, indent=2).encode()
        self._store.put(f"aliases/{name}.json", content)

    def aliases(self) -> dict[str, str]:
        """Alias -> version id."""
        return {
            Path(name).stem: json.loads(self._store.get(name) or b"{}").get("version", "")
            for name in self._store.names("aliases")
        }

    def versions(self) -> list[Version]:
        """Newest first."""
        found = []
        for name in self._store.names("versions"):
            if Path(name).name == MANIFEST and (content := self._store.get(name)):
                found.append(self._parsed(content))
        return sorted(found, key=lambda version: (version.created, version.id), reverse=True)

    def resolve(self, ref: str) -> Version:
        """By alias, id, or an unambiguous beginning of an id. Raises UserError for any other."""
        aliases = self.aliases()
        if version := self._version(aliases.get(ref, ref)):
            return version
        ids = [version.id for version in self.versions()]
        begins = [id_ for id_ in ids if id_.startswith(ref)]
        if len(begins) == 1 and (version := self._version(begins[0])):
            return version
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
        if destination.exists() and (not destination.is_dir() or any(destination.iterdir())):
            if not check(destination, version.id):
                return version
            raise UserError(f"{destination} exists and holds something else; name another folder")
        destination.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".pull-", dir=destination.parent) as scratch:
            folder = Path(scratch) / version.id
            folder.mkdir()
            for name in version.files:
                self._store.fetch(f"versions/{version.id}/{name}", folder / name)
            write_json(folder / MANIFEST, _manifest(version))
            if problems := check(folder, version.id):
                raise UserError(f"{version.uri} is damaged: {'; '.join(problems)}")
            if destination.exists():
                destination.rmdir()
            shutil.move(folder, destination)
        return version

    def _version(self, id_: str) -> Version | None:
        content = self._store.get(f"versions/{id_}/{MANIFEST}")
        return self._parsed(content) if content is not None else None

    def _parsed(self, content: bytes) -> Version:
        manifest = json.loads(content)
        files = {name: File(**file) for name, file in manifest["files"].items()}
        uri = f"{self.uri}/versions/{manifest['id']}"
        return Version(manifest["id"], uri, manifest["created"], files, manifest["about"])


def check(folder: Path, id_: str) -> list[str]:
    """What is wrong with a pulled version in `folder`, in sentences; [] when every hash is right."""
    try:
        manifest = json.loads((folder / MANIFEST).read_text())
        listed = {name: File(**file) for name, file in manifest["files"].items()}
    except (OSError, ValueError, KeyError, TypeError):
        return [f"{MANIFEST} is missing or damaged"]
    problems = [] if manifest.get("id") == id_ else [f"it is version {manifest.get('id')}"]
    for name, file in listed.items():
        path = folder / name
        if not path.is_file():
            problems.append(f"{name} is missing")
        elif _file(path).sha256 != file.sha256:
            problems.append(f"{name} does not have the manifest's SHA-256 {file.sha256}")
    return problems


def _manifest(version: Version) -> dict[str, Any]:
    return {
        "id": version.id,
        "created": version.created,
        "files": {name: vars(file) for name, file in version.files.items()},
        "about": dict(version.about),
    }


def _file(content: Path | bytes) -> File:
    content = content.read_bytes() if isinstance(content, Path) else content
    return File(sha256(content).hexdigest(), len(content))
