"""Signatures of published versions: Ed25519 over the manifest, whose hashes cover every file.

DRDD_SIGNING_KEY signs published versions; only versions signed by a key of DRDD_TRUSTED_KEY are used.
Each is the path of a PEM file, or PEM text, with line breaks or "\\n" for them; DRDD_TRUSTED_KEY may hold
several public keys. Keys are never written to logs or error messages.
"""

import os
import re
from base64 import b64decode, b64encode
from binascii import Error as Base64Error
from collections.abc import Mapping
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)

from drdd.errors import UserError
from drdd.registry.manifest import Signature, Version, signed_bytes
from drdd.text import read_text

SIGNING, TRUSTED = "DRDD_SIGNING_KEY", "DRDD_TRUSTED_KEY"
BEGIN = "-----BEGIN"
MAX_FILE = 1024**2
_PEM = re.compile(r"-----BEGIN [A-Z ]+-----.+?-----END [A-Z ]+-----", re.DOTALL)


def signing_key() -> Ed25519PrivateKey | None:
    """The private key of DRDD_SIGNING_KEY, without a password; None when it is not set."""
    blocks = _blocks(SIGNING)
    if not blocks:
        return None
    try:
        key = load_pem_private_key(blocks[0], password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        key = None
    if not isinstance(key, Ed25519PrivateKey) or len(blocks) > 1:
        raise UserError(f"{SIGNING} is not one Ed25519 private key without a password, in PEM")
    return key


def trusted_keys() -> dict[str, Ed25519PublicKey]:
    """The public keys of DRDD_TRUSTED_KEY by their fingerprints; {} when it is not set."""
    found = {}
    for block in _blocks(TRUSTED):
        try:
            key = load_pem_public_key(block)
        except (ValueError, UnsupportedAlgorithm):
            key = None
        if not isinstance(key, Ed25519PublicKey):
            raise UserError(f"{TRUSTED} holds something that is no Ed25519 public key in PEM")
        found[fingerprint(key)] = key
    return found


def trusted_text() -> str:
    """DRDD_TRUSTED_KEY as PEM text, to be given to a process on another machine; "" when it is not set."""
    return b"\n".join(_blocks(TRUSTED)).decode()


def public_text(key: Ed25519PublicKey) -> str:
    """A public key as PEM text."""
    return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


def fingerprint(key: Ed25519PublicKey) -> str:
    """The first 16 hexadecimal digits of the SHA-256 of the key's 32 bytes."""
    return sha256(key.public_bytes_raw()).hexdigest()[:16]


def signed(version: Version, key: Ed25519PrivateKey) -> Version:
    value = b64encode(key.sign(signed_bytes(version))).decode()
    return replace(version, signature=Signature(fingerprint(key.public_key()), value))


def distrust(version: Version, trusted: Mapping[str, Ed25519PublicKey] | None = None) -> str | None:
    """The reason not to use the version; None if it may be used, or no key is trusted.

    trusted: by fingerprint; those of DRDD_TRUSTED_KEY by default.
    """
    trusted = trusted_keys() if trusted is None else trusted
    if not trusted:
        return None
    if version.signature is None:
        return f"is not signed, and {TRUSTED} asks for a signature"
    if (key := trusted.get(version.signature.key)) is None:
        return f"is signed by {version.signature.key}; {TRUSTED} trusts {', '.join(trusted)}"
    try:
        key.verify(b64decode(version.signature.value, validate=True), signed_bytes(version))
    except (InvalidSignature, Base64Error, ValueError):
        return f"does not bear out its signature by {version.signature.key}: it was changed"
    return None


def signer(version: Version) -> str:
    """A phrase for people: who signed the version, and whether that was checked."""
    if version.signature is None:
        return "not signed"
    checked = "checked" if trusted_keys() else f"not checked: {TRUSTED} is not set"
    return f"signed by {version.signature.key} ({distrust(version) or checked})"


def _blocks(variable: str) -> list[bytes]:
    """The PEM blocks of an environment variable or of the file it names; [] if it is not set, or empty."""
    given = os.environ.get(variable, "")
    if not given:
        return []
    if not (value := given.strip()):
        raise UserError(f"{variable} holds only blanks; set it to a PEM file, or unset it")
    # Files of settings have no line breaks.
    text = value.replace("\\n", "\n") if BEGIN in value else _text_of(Path(value), variable)
    blocks = _PEM.findall(text)
    if not blocks or len(blocks) != text.count(BEGIN):
        raise UserError(
            f"{variable} is neither PEM text nor the path of a PEM file, or a key in it is cut short"
        )
    return [block.encode("ascii", "replace") for block in blocks]


def _text_of(path: Path, variable: str) -> str:
    """The text of a PEM file with line breaks as "\\n"; no message names the path, which may be a key."""
    try:
        text = read_text(path.expanduser(), f"{variable}: its file", MAX_FILE)
    except FileNotFoundError:
        raise UserError(
            f"{variable}: its file cannot be read (No such file or directory)"
        ) from None
    return text.replace("\r\n", "\n").replace("\r", "\n")
