"""The manifest of a version: what its files are, and what its publisher said of it.

    {"id", "created", "files": {name: {"sha256", "size"}}, "about": {...}, "signature": {...}}

<id> is the SHA-256, in 64 hexadecimal digits, over "<sha256>  <name>" lines, one a file, sorted by
name, without the files of MEASURED: these hold timings, which differ when the same model is made again.
So the same params give the same id, and publishing them again changes nothing. Every reader verifies
each file against the manifest and derives the id anew from it. A signature covers the whole manifest,
the files of MEASURED included.

A manifest may come from a stranger: `parse` checks all of it, and bounds it.
"""

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from drdd.bounded import read_json
from drdd.settings import FEWEST, is_alias
from drdd.shown import printable

MANIFEST = "manifest.json"
LARGEST = 4 * 1024**2  # bytes of a manifest: the store reads no larger one
# The report and dvc.lock hold timings, or hashes of files with timings.
MEASURED = {"latency.parquet", "report.html", "dvc.lock"}
_NAME = r"\w[\w.-]*"  # no leading dot: neither "..", nor a temporary file's name
_FILE = re.compile(rf"{_NAME}(/{_NAME})*", re.ASCII)
_ID = re.compile(r"[0-9a-f]{64}")
_PREFIX = re.compile(rf"[0-9a-f]{{{FEWEST},64}}")
_LONGEST_FILE = 200


@dataclass(frozen=True)
class File:
    sha256: str
    size: int


@dataclass(frozen=True)
class Signature:
    """key: fingerprint of the public key; value: the Ed25519 signature, base64."""

    key: str
    value: str


@dataclass(frozen=True)
class Version:
    """created: ISO 8601, UTC; about: what the publisher said of it (metrics, git revision, ...)."""

    id: str
    uri: str
    created: str
    files: Mapping[str, File]
    about: Mapping[str, Any]
    signature: Signature | None = None

    @property
    def size(self) -> int:
        return sum(file.size for file in self.files.values())


def is_id(text: str) -> bool:
    return _ID.fullmatch(text) is not None


def is_prefix(text: str) -> bool:
    """Whether the text may stand for a version: its id, or at least the FEWEST first digits of it."""
    return _PREFIX.fullmatch(text) is not None


def is_ref(text: str) -> bool:
    return is_alias(text) or is_prefix(text)


def is_file(name: str) -> bool:
    """May a published file have this name: relative, of letters, digits, ".", "_", "-" and "/"?"""
    named = len(name) <= _LONGEST_FILE and _FILE.fullmatch(name) is not None
    return named and name.casefold() != MANIFEST


def clash(names: Iterable[str]) -> str | None:
    """A sentence on two names that some file systems cannot hold side by side; None if there are none."""
    taken: dict[str, str] = {}
    for name in names:
        if (other := taken.setdefault(name.casefold(), name)) != name:
            return f"{other} and {name} differ by upper and lower case alone"
    for name in taken:
        for folder in Path(name).parents:
            if str(folder) in taken:
                return f"{taken[str(folder)]} is a file, and {taken[name]} is below it"
    return None


def version_id(files: Mapping[str, File]) -> str:
    named = sorted(files.keys() - MEASURED)
    lines = "".join(f"{files[name].sha256}  {name}\n" for name in named)
    return sha256(lines.encode()).hexdigest()


def file_of(content: Path | bytes) -> File:
    if isinstance(content, bytes):
        return File(sha256(content).hexdigest(), len(content))
    with content.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256")
        return File(digest.hexdigest(), stream.tell())


def to_dict(version: Version) -> dict[str, Any]:
    """As manifest.json holds it; without "signature" for a version that has none."""
    signed = {"signature": vars(version.signature)} if version.signature else {}
    return {
        "id": version.id,
        "created": version.created,
        "files": {name: vars(file) for name, file in version.files.items()},
        "about": dict(version.about),
        **signed,
    }


def signed_bytes(version: Version) -> bytes:
    """What a signature is over: the manifest without it, as JSON with sorted keys and no spaces."""
    content = {name: value for name, value in to_dict(version).items() if name != "signature"}
    return json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()


def parse(content: bytes, id_: str, uri: str) -> Version:
    """Raises ValueError unless `content` is a manifest whose files make up version `id_`."""
    try:
        manifest = _Manifest.model_validate(read_json(content, LARGEST))
    except ValidationError as error:
        raise ValueError(f"is not a manifest: {_first(error)}") from None
    except ValueError as error:
        raise ValueError(f"is not a manifest: {error}") from None
    files = {name: File(one.sha256, one.size) for name, one in manifest.files.items()}
    if {manifest.id, version_id(files)} != {id_}:
        raise ValueError(f"lists files that do not make up version {id_}")
    signature = manifest.signature
    signed = None if signature is None else Signature(signature.key, signature.value)
    about = manifest.about.model_dump(exclude_unset=True)
    return Version(id_, uri, manifest.created, files, about, signed)


def _first(error: ValidationError) -> str:
    """The first thing that is wrong, and where, such as "files.a.size: Input should be ..."."""
    one = error.errors(include_url=False, include_input=False, include_context=False)[0]
    where = ".".join(str(part)[:40] for part in one["loc"])
    return printable(f"{where}: {one['msg'].removeprefix('Value error, ')}"[:300])


def utc_time(text: str) -> str:
    """ISO 8601 of UTC. Raises ValueError otherwise."""
    try:
        when = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError("is not a time in ISO 8601") from None
    if when.utcoffset() != timedelta(0):
        raise ValueError("is not a time of UTC")
    return text


def _named(files: "dict[str, _File]") -> "dict[str, _File]":
    for name in files:
        if not is_file(name):
            raise ValueError(f"{name[:40]!r} cannot be the name of a published file")
    if said := clash(files):
        raise ValueError(said)
    return files


Time = Annotated[str, Field(max_length=40), AfterValidator(utc_time)]
Id = Annotated[str, Field(pattern=r"^[0-9a-f]{64}\z")]
_Text = Annotated[str, Field(max_length=1000)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class _File(_Part):
    sha256: Id
    size: int = Field(ge=0, le=2**50)


class _Signature(_Part):
    key: str = Field(pattern=r"^[0-9a-f]{16}\z")
    value: str = Field(max_length=100)


class _About(BaseModel):
    """What publish says of a version; other keys may be anything that read_json lets through."""

    model_config = ConfigDict(extra="allow", strict=True)

    metrics: dict[str, Any] = {}
    params: dict[str, Any] = {}
    start: dict[str, _Text] = {}
    git: _Text | None = None
    dvc_lock: _Text | None = None
    data: dict[str, _Text] = {}
    libraries: dict[str, _Text] = {}


class _Manifest(_Part):
    id: Id
    created: Time
    files: Annotated[
        dict[str, _File], Field(min_length=1, max_length=10_000), AfterValidator(_named)
    ]
    about: _About
    signature: _Signature | None = None
