"""Published models: immutable versions named by their content, and aliases that point to them.

versions/<id>/<file>            the files
versions/<id>/manifest.json     written last: a version without it does not exist
aliases/<name>.json             where an alias points, and its history
"""

import difflib
import json
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from drdd.errors import UserError
from drdd.registry import pulling
from drdd.registry.aliases import Aliases
from drdd.registry.manifest import (
    MANIFEST,
    MEASURED,
    File,
    Version,
    clash,
    file_of,
    is_file,
    is_id,
    is_prefix,
    parse,
    to_dict,
    version_id,
)
from drdd.registry.signing import distrust, fingerprint, signed, signing_key
from drdd.shown import short
from drdd.storage.objects import ChangedError, Store

ROUNDS = 3  # of rewriting files that a cleaning deleted
CANDIDATES, LONGEST = (
    5,
    100,
)  # shown of an ambiguous reference; characters compared of an unknown one
DAMAGED = "delete this version and publish its files again"
UNTRUSTED = "publish it again with a trusted key, or `drdd models promote` a version that is signed"


@dataclass(frozen=True)
class Damaged:
    """A folder below versions/ whose manifest is none. name: of any characters; why: a sentence."""

    name: str
    why: str


class Registry:
    """A registry in a folder or below an s3:// prefix.

    Every method raises UserError when the store refuses, TransientError when it does not answer.
    """

    def __init__(self, store: Store, trusted: Mapping[str, Ed25519PublicKey] | None = None) -> None:
        """trusted: keys by fingerprint; those of DRDD_TRUSTED_KEY by default, asked at each use."""
        self.store, self._trusted = store, trusted
        self.aliases = Aliases(store, self._demand_usable)

    @classmethod
    def open(cls, uri: str, trusted: Mapping[str, Ed25519PublicKey] | None = None) -> "Registry":
        """S3 endpoint, keys and region come from the standard AWS_* environment."""
        return cls(Store(uri), trusted)

    @property
    def uri(self) -> str:
        return self.store.uri

    def publish(
        self,
        files: Mapping[str, Path | bytes],
        about: Mapping[str, Any],
        key: Ed25519PrivateKey | None = None,
    ) -> Version:
        """Publish a version. If it exists already, it is returned unchanged.

        key: to sign the manifest; by default that of DRDD_SIGNING_KEY, if set. An existing version without
        this signature is written again and signed.

        Each file is read back and compared before the manifest makes the version visible. If several
        publishers write the same files at once, the `about` of the last one stays. Raises UserError also
        for a file name that is not relative or not of letters, digits, ".", "_", "-" and "/".
        """
        for name in files:
            if not is_file(name):
                raise UserError(f"{self.uri}: {name!r} cannot be the name of a published file")
        if said := clash(files):
            raise UserError(f"{self.uri}: {said}; rename one")
        key = key or signing_key()
        listed = {name: file_of(files[name]) for name in sorted(files)}
        id_ = version_id(listed)
        if (existing := self.listed(id_)) and _is_signed_by(existing, key):
            named = {name: files[name] for name in files if name not in MEASURED}
            self._write_what_vanished(existing, named)
            return existing
        created = datetime.now(UTC).isoformat(timespec="milliseconds")
        version = Version(id_, self._uri(id_), created, listed, about)
        measured = {name: files[name] for name in files if name in MEASURED}
        files = {name: files[name] for name in files if name not in MEASURED}
        self._write(version, files, files)
        self._write_what_vanished(version, files)
        listed |= {name: self._settled(id_, name, measured[name]) for name in measured}
        manifest = to_dict(signed(version, key) if key else version)
        content = json.dumps(manifest, indent=2, allow_nan=False).encode()
        try:
            parse(content, id_, version.uri)
        except ValueError as error:
            raise UserError(f"{version.uri} cannot be published: its manifest {error}") from None
        self.store.put(f"versions/{id_}/{MANIFEST}", content)
        self._write_what_vanished(version, files)
        if (published := self.listed(id_)) is None:
            raise UserError(f"{self.uri}: the store does not give back the manifest of {id_}")
        return published

    def version(self, id_: str) -> Version | None:
        """The version of a full id, to be used; None without a manifest.

        Whatever uses, serves, compares with or points to a version gets it here. Raises UserError when it
        is damaged, or has no signature by a key of DRDD_TRUSTED_KEY, if that is set.
        """
        version = self.listed(id_)
        if version and (why := distrust(version, self._trusted)):
            raise UserError(f"{version.uri} {why}", UNTRUSTED)
        return version

    def listed(self, id_: str) -> Version | None:
        """As `version`, trusted or not: to be listed, cleaned up or published again, and nothing else."""
        if not is_id(id_):
            return None
        path = f"versions/{id_}/{MANIFEST}"
        try:
            found = self.store.tagged(path)
            return None if found is None else parse(found[0], id_, self._uri(id_))
        except ValueError as error:
            raise UserError(f"{self.uri}/{path} {error}", DAMAGED) from None

    def pointed(self, alias: str) -> Version | None:
        """The version of `alias`, as `version` gives it; None when it or the alias does not exist."""
        found = self.aliases.get(alias)
        return self.version(found.version) if found else None

    def versions(self) -> list[Version]:
        """All versions, trusted or not, newest first, without those that are damaged."""
        return self.survey()[0]

    def survey(self) -> tuple[list[Version], list[Damaged]]:
        """All versions, trusted or not, newest first; and what is damaged."""
        found, damaged = [], []
        for folder in self._folders():
            try:
                version = self.listed(folder)
            except UserError as error:
                damaged.append(Damaged(folder, error.sentence))
                continue
            if version:
                found.append(version)
            elif not is_id(folder):
                damaged.append(Damaged(folder, f"{self._uri(folder)} is not named by a whole id"))
        found.sort(key=lambda version: (version.created, version.id), reverse=True)
        return found, damaged

    def resolve(self, ref: str) -> Version:
        """The version of an alias, of an id, or of the first digits of an id, if these are of one alone.

        Digits are never the name of an alias. Raises UserError for any other, and as `version` does.
        """
        if alias := self.aliases.get(ref):
            if version := self.version(alias.version):
                return version
            raise UserError(f"{self.uri}: {ref!r} points to {alias.version!r}, which is not there")
        if version := self.version(ref):
            return version
        ids = [id_ for id_ in self._folders() if is_id(id_)]
        begins = [id_ for id_ in ids if is_prefix(ref) and id_.startswith(ref)]
        if len(begins) > 1:
            raise UserError(
                f"{self.uri}: {ref!r} may be any of {', '.join(begins[:CANDIDATES])}",
                "say more digits",
            )
        if begins and (version := self.version(begins[0])):
            return version
        names = {**self.aliases.readable()[0], **{short(id_): id_ for id_ in ids}}
        near = difflib.get_close_matches(ref[:LONGEST], names, n=3, cutoff=0.3)
        said = f"nearest: {', '.join(near)}" if near else f"there are {len(ids)} versions"
        raise UserError(f"{self.uri}: no model {ref!r}; {said} (`drdd models list`)")

    def verify(self, ref: str) -> list[str]:
        """Read every byte of a version back. Returns sentences on what is wrong."""
        version = self.resolve(ref)
        problems = []
        for name, file in version.files.items():
            path = f"versions/{version.id}/{name}"
            size = self.store.size(path)
            if size is None:
                problems.append(f"{name} is missing")
                continue
            if size != file.size:
                problems.append(f"{name} has {size:,} bytes, the manifest says {file.size:,}")
                continue
            actual = self.store.sha256(path)
            if actual is None:
                problems.append(f"{name} is missing")
            elif actual != file.sha256:
                problems.append(f"{name} has SHA-256 {actual}, the manifest says {file.sha256}")
        return problems

    def pull(self, ref: str, destination: Path) -> Version:
        """Download a version and check every hash. `destination` is created atomically.

        A destination that holds exactly this version is kept. Raises UserError when it holds anything
        else, or a file does not match the manifest.
        """
        version = self.resolve(ref)

        def download(name: str, path: Path) -> None:
            size = version.files[name].size
            self.store.fetch(f"versions/{version.id}/{name}", path, size)

        pulling.pull(version, destination, download)
        return version

    def _folders(self) -> list[str]:
        """The folders below versions/ that hold a manifest, sorted."""
        names = (name.split("/") for name in self.store.names("versions"))
        return [parts[1] for parts in names if len(parts) == 3 and parts[2] == MANIFEST]

    def _uri(self, id_: str) -> str:
        return f"{self.uri}/versions/{id_}"

    def _write(
        self, version: Version, files: Mapping[str, Path | bytes], names: Iterable[str]
    ) -> None:
        for name in names:
            path = f"versions/{version.id}/{name}"
            self.store.put(path, files[name])
            if self.store.sha256(path) not in (version.files[name].sha256, None):
                raise UserError(f"{self.uri}/{path}: the store gave back other bytes than it got")

    def _settled(self, id_: str, name: str, content: Path | bytes) -> File:
        """A file that does not name the version: the first publisher's stays, and others list it too."""
        path = f"versions/{id_}/{name}"
        if self.store.sha256(path) is None:
            given = content if isinstance(content, bytes) else content.read_bytes()
            with suppress(ChangedError):
                self.store.put_if(path, given, None)
        if (stored := self.store.get(path)) is None:
            raise UserError(f"{self.uri}/{path}: vanishes as it is written; who deletes there?")
        return file_of(stored)

    def _write_what_vanished(self, version: Version, files: Mapping[str, Path | bytes]) -> None:
        """Rewrite files that a cleaning deleted because the publication was slow."""
        folder = f"versions/{version.id}/"
        for _ in range(ROUNDS):
            there = {name.removeprefix(folder) for name in self.store.names(folder.rstrip("/"))}
            if not (lost := sorted(set(files) - there)):
                return
            self._write(version, files, lost)
        raise UserError(f"{version.uri}: its files vanish as they are written; who deletes there?")

    def _demand_usable(self, id_: str, alias: str) -> None:
        if self.version(id_) is None:
            raise UserError(f"{self.uri}: no version {id_!r} to call {alias!r}")


def _is_signed_by(version: Version, key: Ed25519PrivateKey | None) -> bool:
    """Whether the version has the signature by `key`. True without a key."""
    if key is None:
        return True
    signature = version.signature
    of_key = signature is not None and signature.key == fingerprint(key.public_key())
    return of_key and signed(version, key).signature == signature
