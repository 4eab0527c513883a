"""With a trusted key, only what it signed is used; a signature covers the whole manifest."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from drdd.errors import UserError
from drdd.registry.manifest import MANIFEST, Version
from drdd.registry.registry import Registry
from drdd.registry.signing import SIGNING, TRUSTED, fingerprint, signer, signing_key, trusted_keys
from drdd.serving.app import CANDIDATE, _reached_by_all

FILES: dict[str, Path | bytes] = {"config.json": b"{}", "model.safetensors": bytes(100)}


def _private(key: Ed25519PrivateKey | X25519PrivateKey) -> str:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


def _public(key: Ed25519PrivateKey | X25519PrivateKey) -> str:
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


@pytest.fixture
def key() -> Ed25519PrivateKey:
    return Ed25519PrivateKey.generate()


@pytest.fixture
def published(
    registry: Registry, key: Ed25519PrivateKey, monkeypatch: pytest.MonkeyPatch
) -> Version:
    """Signed by `key`, which is trusted from then on."""
    monkeypatch.setenv(SIGNING, _private(key))
    version = registry.publish(FILES, {"gain": 1.25, "note": "für alle"})
    registry.aliases.move("champion", version.id)
    monkeypatch.setenv(TRUSTED, _public(key))
    return version


def _refused(registry: Registry, version: Version, folder: Path, why: str) -> None:
    """By every use, whichever way the version is named."""
    uses: list[Callable[[str], Any]] = [
        registry.resolve,
        registry.verify,
        lambda ref: registry.pull(ref, folder),
    ]
    for use in uses:
        for ref in ("champion", version.id, version.id[:8]):
            with pytest.raises(UserError, match=why):
                use(ref)
    with pytest.raises(UserError, match=why):
        registry.aliases.move("candidate", version.id)
    assert not folder.exists()
    assert [v.id for v in registry.versions()] == [version.id]  # but it is listed


def test_what_a_trusted_key_signed_is_used(
    registry: Registry, published: Version, key: Ed25519PrivateKey, tmp_path: Path
) -> None:
    assert published.signature is not None
    assert published.signature.key == fingerprint(key.public_key())
    assert registry.resolve("champion") == published
    assert registry.verify("champion") == []
    pulled = registry.pull("champion", tmp_path / "pulled")
    assert signer(pulled) == f"signed by {published.signature.key} (checked)"
    manifest = json.loads((tmp_path / "pulled" / MANIFEST).read_text())
    assert manifest["signature"] == vars(published.signature)


@pytest.mark.parametrize(
    "change",
    [
        lambda manifest: manifest["about"].update(gain=9.0),
        lambda manifest: manifest.update(created="2020-01-01T00:00:00+00:00"),
        lambda manifest: manifest["files"]["config.json"].update(size=3),
        lambda manifest: manifest["signature"].update(value="AAAA"),
        lambda manifest: manifest["signature"].update(value="no base64"),
    ],
)
def test_a_manifest_that_was_changed_is_refused(
    registry: Registry, published: Version, tmp_path: Path, change: Callable[[Any], None]
) -> None:
    path = f"versions/{published.id}/{MANIFEST}"
    manifest = json.loads(registry.store.get(path) or b"")
    change(manifest)
    registry.store.put(path, json.dumps(manifest).encode())
    _refused(registry, published, tmp_path / "pulled", "does not bear out its signature")


def test_what_nobody_or_somebody_else_signed_is_refused(
    registry: Registry,
    published: Version,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    other = Ed25519PrivateKey.generate()
    with monkeypatch.context() as patch:
        patch.setenv(TRUSTED, _public(other))
        _refused(registry, published, tmp_path / "pulled", "is signed by .* trusts")
    path = f"versions/{published.id}/{MANIFEST}"
    manifest = json.loads(registry.store.get(path) or b"")
    del manifest["signature"]
    registry.store.put(path, json.dumps(manifest).encode())
    _refused(registry, published, tmp_path / "pulled", "is not signed")
    # Publishing the same files again signs them.
    assert registry.publish(FILES, {}).signature is not None
    assert registry.resolve("champion").id == published.id


def test_without_a_trusted_key_a_signature_is_shown_and_not_checked(
    registry: Registry, published: Version, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(TRUSTED)
    assert published.signature is not None
    assert signer(registry.resolve("champion")) == (
        f"signed by {published.signature.key} (not checked: {TRUSTED} is not set)"
    )
    monkeypatch.delenv(SIGNING)
    assert signer(registry.publish({"a": b""}, {})) == "not signed"


def test_a_rollback_passes_over_what_is_not_trusted(
    registry: Registry, key: Ed25519PrivateKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = [key, Ed25519PrivateKey.generate(), key]
    for number, by in enumerate(keys):
        version = registry.publish({"a": str(number).encode()}, {}, by)
        registry.aliases.move("champion", version.id)
    monkeypatch.setenv(TRUSTED, _public(key))
    first = registry.aliases.rollback("champion")
    assert first.version == first.history[0].version


def test_keys_come_from_files_or_as_text_and_several_may_be_trusted(
    tmp_path: Path, key: Ed25519PrivateKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = Ed25519PrivateKey.generate()
    (tmp_path / "key.pem").write_text(_private(key))
    monkeypatch.setenv(SIGNING, str(tmp_path / "key.pem"))
    read = signing_key()
    assert read is not None
    assert _private(read) == _private(key)
    monkeypatch.setenv(TRUSTED, _public(key) + "\n" + _public(other))
    assert set(trusted_keys()) == {fingerprint(k.public_key()) for k in (key, other)}


def test_keys_made_by_openssl_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The commands of docs/registry.md."""
    private, public = tmp_path / "key.pem", tmp_path / "public.pem"
    make = ["openssl", "genpkey", "-algorithm", "ed25519", "-out", str(private)]
    subprocess.run(make, check=True, capture_output=True)
    show = ["openssl", "pkey", "-in", str(private), "-pubout", "-out", str(public)]
    subprocess.run(show, check=True, capture_output=True)
    monkeypatch.setenv(SIGNING, str(private))
    monkeypatch.setenv(TRUSTED, str(public))
    key = signing_key()
    assert key is not None
    assert list(trusted_keys()) == [fingerprint(key.public_key())]


@pytest.mark.parametrize("variable", [SIGNING, TRUSTED])
def test_what_is_no_key_is_said_without_being_shown(
    tmp_path: Path, key: Ed25519PrivateKey, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    read = {SIGNING: signing_key, TRUSTED: trusted_keys}[variable]
    wrong_kind = X25519PrivateKey.generate()
    half = _private(key).splitlines()[1][:20]
    broken = f"-----BEGIN PRIVATE KEY-----\n{half}\n-----END PRIVATE KEY-----"
    (tmp_path / "text").write_text("hush-hush")
    cases = [str(tmp_path / "no-such-hush-hush"), str(tmp_path / "text"), broken, "-----BEGIN hush"]
    cases.append(_private(wrong_kind) if variable == SIGNING else _public(wrong_kind))
    cases.append(_public(key) if variable == SIGNING else _private(key))
    for case in cases:
        monkeypatch.setenv(variable, case)
        with pytest.raises(UserError, match=variable) as error:
            read()
        assert half not in str(error.value)
        assert "hush" not in str(error.value)
    monkeypatch.setenv(variable, "")
    assert not read()


def test_a_candidate_is_evaluated_on_several_nodes_whatever_key_is_trusted(
    tmp_path: Path, key: Ed25519PrivateKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its replicas trust the key that signed it and no other; the user's trusted key stays out of it."""
    monkeypatch.setenv(TRUSTED, _public(key))
    monkeypatch.delenv(SIGNING, raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr("ray.nodes", lambda: [{"Alive": True}] * 2)
    (tmp_path / "model").mkdir()
    for name, content in FILES.items():
        assert isinstance(content, bytes)
        (tmp_path / "model" / name).write_bytes(content)
    shared = str(tmp_path / "shared")
    with _reached_by_all(tmp_path / "model", lambda: shared) as (source, environment):
        (version,) = source.versions(CANDIDATE)
        with pytest.raises(UserError, match="is signed by"):
            source.folder(version)
        monkeypatch.setenv(TRUSTED, environment[TRUSTED])
        folder = source.folder(version)
        assert (folder / "model.safetensors").read_bytes() == FILES["model.safetensors"]
