"""The manifest of a version: what its files are, and what its publisher said of it.

    {"id", "created", "files": {name: {"sha256", "size"}}, "about": {...}, "signature": {...}}

<id> is the first 12 hexadecimal digits of the SHA-256 over "<sha256>  <name>" lines, one a file,
sorted by name, without the files of MEASURED: these hold timings, which differ when the same model is
made again. So the same params give the same id, and publishing them again changes nothing. Every reader
verifies each file against the manifest and derives the id anew from it. A signature covers the whole
manifest, the files of MEASURED included.
"""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

MANIFEST = "manifest.json"
# The report and dvc.lock hold timings, or hashes of files with timings.
MEASURED = {"latency.parquet", "report.html", "dvc.lock"}
_NAME = r"\w[\w.-]*"  # no leading dot: neither "..", nor a temporary file's name
_FILE = re.compile(rf"{_NAME}(/{_NAME})*", re.ASCII)
_ID = re.compile(r"[0-9a-f]{12}")
_ALIAS = re.compile(_NAME, re.ASCII)
_LONGEST = 100  # characters of an alias: file systems end a name at 255


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


def is_alias(text: str) -> bool:
    return len(text) <= _LONGEST and _ALIAS.fullmatch(text) is not None


def is_file(name: str) -> bool:
    """May a published file have this name: relative, of letters, digits, ".", "_", "-" and "/"?"""
    return name != MANIFEST and _FILE.fullmatch(name) is not None


def version_id(files: Mapping[str, File]) -> str:
    named = sorted(files.keys() - MEASURED)
    lines = "".join(f"{files[name].sha256}  {name}\n" for name in named)
    return sha256(lines.encode()).hexdigest()[:12]


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
        manifest = json.loads(content)
        files = {name: File(**file) for name, file in manifest["files"].items()}
        about, signature = dict(manifest["about"]), manifest.get("signature")
        signed = None if signature is None else Signature(**signature)
        version = Version(manifest["id"], uri, manifest["created"], files, about, signed)
    except (ValueError, KeyError, TypeError, AttributeError):
        raise ValueError("is not a manifest") from None
    safe = all(_FILE.fullmatch(name) for name in files)
    if not safe or {version.id, version_id(files)} != {id_}:
        raise ValueError(f"lists files that do not make up version {id_}")
    return version
