"""Attacks by who can write to the registry, or to the folder of pulled models: nothing wrong is used."""

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from typer.testing import CliRunner

from drdd.errors import UserError
from drdd.registry.cli import app
from drdd.registry.location import cached, folder_of
from drdd.registry.manifest import MANIFEST, Version
from drdd.registry.registry import Registry
from drdd.serving.models import Models
from drdd.serving.published import FromRegistry
from drdd.settings import is_alias
from drdd.shown import printable, short
from drdd.storage.objects import SMALL
from tests.project import tiny_params, write_params
from tests.registry.conftest import run

GOOD: dict[str, Path | bytes] = {
    "config.json": b"{}",
    "model.safetensors": b"good",
    "report.html": b"0.2 s",
}
EVIL: dict[str, Path | bytes] = {**GOOD, "model.safetensors": b"evil", "report.html": b"<script>"}


@pytest.fixture
def key() -> Ed25519PrivateKey:
    return Ed25519PrivateKey.generate()


@pytest.fixture(params=["with a trusted key", "without"])
def trust(
    request: pytest.FixtureRequest, key: Ed25519PrivateKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("DRDD_TRUSTED_KEY", raising=False)
    if request.param == "with a trusted key":
        _trust(key, monkeypatch)


def _trust(key: Ed25519PrivateKey, monkeypatch: pytest.MonkeyPatch) -> None:
    pem = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    monkeypatch.setenv("DRDD_TRUSTED_KEY", pem.decode())


@pytest.fixture
def registry(workspace: Path) -> Registry:
    write_params(workspace, tiny_params())
    return Registry.open(str(workspace / "bucket"))


@pytest.mark.usefixtures("trust")
@pytest.mark.parametrize("lie", ["all of another model", "its own manifest", "what was measured"])
def test_the_cache_vouches_for_nothing_by_itself(
    registry: Registry, workspace: Path, key: Ed25519PrivateKey, lie: str
) -> None:
    """Another model, with a manifest that fits it, lies where the champion's copy belongs."""
    good = registry.publish(GOOD, {}, key)
    registry.aliases.move("champion", good.id)
    elsewhere = Registry.open(str(workspace / "elsewhere"))
    evil = elsewhere.publish(EVIL, {}, key)
    copy = cached("champion", registry.uri)
    if lie == "what was measured":
        (copy / "report.html").write_bytes(b"<script>")
        manifest = json.loads((copy / MANIFEST).read_text())
        manifest["files"]["report.html"] = {"sha256": evil.files["report.html"].sha256, "size": 8}
        (copy / MANIFEST).write_text(json.dumps(manifest))
    else:
        shutil.rmtree(copy)
        elsewhere.pull(evil.id, copy)
    if lie == "its own manifest":
        manifest = (copy / MANIFEST).read_text().replace(evil.id, good.id)
        (copy / MANIFEST).write_text(manifest)
    for address in (f"{registry.uri}@champion", f"{registry.uri}/versions/{good.id[:12]}"):
        found = folder_of(address)
        assert (found / "model.safetensors").read_bytes() == b"good"
        assert (found / "report.html").read_bytes() == b"0.2 s"


@pytest.mark.usefixtures("trust")
def test_two_models_whose_ids_begin_alike_are_never_taken_for_each_other(
    registry: Registry, key: Ed25519PrivateKey
) -> None:
    """48 bits of an id are found twice in minutes; here two ids of 24 equal bits are enough to see it."""
    seen: dict[str, dict[str, Path | bytes]] = {}
    first, second = next(_alike(seen))
    one, other = registry.publish(first, {}, key), registry.publish(second, {}, key)
    assert one.id[:6] == other.id[:6]
    assert one.id != other.id
    for version, files in ((one, first), (other, second)):
        folder = cached(version.id, registry.uri)
        assert folder.name == version.id
        assert (folder / "a").read_bytes() == files["a"]
    with pytest.raises(UserError, match=r"may be any of .*say more digits") as refused:
        registry.resolve(one.id[:6])
    assert one.id in str(refused.value)
    assert other.id in str(refused.value)
    assert registry.resolve(one.id[:32]) == one


def _alike(seen: dict[str, Any]) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    from drdd.registry.manifest import file_of, version_id

    for number in range(10**6):
        files: dict[str, Any] = {"a": str(number).encode()}
        begins = version_id({"a": file_of(files["a"])})[:6]
        if begins in seen:
            yield seen[begins], files
        seen[begins] = files


def test_no_alias_looks_like_an_id_and_no_id_asks_an_alias(registry: Registry) -> None:
    good, evil = registry.publish(GOOD, {}), registry.publish(EVIL, {})
    for name in (good.id, good.id[:12], "abcdef", "123456", "ABCDEF12", "0" * 80):
        assert not is_alias(name)
        with pytest.raises(UserError, match="cannot be an alias"):
            registry.aliases.move(name, evil.id)
    registry.aliases.move("champion", evil.id)
    stolen = registry.store.get("aliases/champion.json")
    assert stolen is not None
    registry.store.put(f"aliases/{good.id[:12]}.json", stolen)  # by a stranger's own hand
    assert registry.resolve(good.id[:12]) == good
    found = folder_of(f"{registry.uri}/versions/{good.id[:12]}")
    assert (found / "model.safetensors").read_bytes() == b"good"
    with pytest.raises(UserError, match="is no model"):
        folder_of(f"{registry.uri}/versions/champion")
    assert "cannot be an alias" in run("list", "--registry", registry.uri)


def test_a_service_keeps_the_last_good_version_when_its_alias_moves_to_an_unsigned_one(
    registry: Registry, key: Ed25519PrivateKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    good, evil = registry.publish(GOOD, {}, key), registry.publish(EVIL, {})
    registry.aliases.move("champion", good.id)
    _trust(key, monkeypatch)
    loaded: list[bytes] = []

    def load(folder: Path) -> Any:
        loaded.append((folder / "model.safetensors").read_bytes())
        return object()

    models = Models(["champion"], FromRegistry(registry.uri, Path()), load)
    models.start()
    monkeypatch.delenv("DRDD_TRUSTED_KEY")
    registry.aliases.move("champion", evil.id)
    _trust(key, monkeypatch)
    models.follow()
    assert loaded == [b"good"]
    problem = models.problems()["champion"]
    assert f"version {short(evil.id)} does not load" in problem
    assert "is not signed" in problem
    assert f"{short(good.id)} serves" in problem


def test_a_champion_that_is_not_trusted_is_compared_with_by_nobody(
    registry: Registry, key: Ed25519PrivateKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    evil = registry.publish(EVIL, {"metrics": {"passed": True}})
    registry.aliases.move("champion", evil.id)
    _trust(key, monkeypatch)
    for use in (
        lambda: registry.pointed("champion"),
        lambda: registry.version(evil.id),
        lambda: registry.resolve("champion"),
        lambda: cached("champion", registry.uri),
        lambda: registry.aliases.move("other", evil.id),
        lambda: registry.verify("champion"),
    ):
        with pytest.raises(UserError, match="is not signed"):
            use()
    assert registry.listed(evil.id) == evil  # to be listed, and published again with a key


def _hostile(version: Version) -> dict[str, bytes]:
    """Manifests by name; all but `markup` are refused."""
    manifest: dict[str, Any] = {
        "id": version.id,
        "created": version.created,
        "files": {name: dict(vars(file)) for name, file in version.files.items()},
        "about": {},
    }
    name = "config.json"
    file = manifest["files"][name]

    def with_(**changes: Any) -> bytes:
        return json.dumps({**manifest, **changes}).encode()

    def with_size(size: Any) -> bytes:
        return with_(files={**manifest["files"], name: {**file, "size": size}})

    return {
        "a list": b"[]",
        "files a list": with_(files=[1]),
        "deep": b'{"about": ' + b"[" * 200_000 + b"]" * 200_000 + b"}",
        "deep enough": with_(about={"x": json.loads("[" * 100 + "]" * 100)}),
        "huge": with_(about={"x": "y" * SMALL}),
        "nan": with_(about={"x": float("nan")}),
        "endless": b'{"id": ' + b"9" * 100_000 + b"}",
        "half a surrogate": with_(about={"x": "\ud800"}),
        "metrics a list": with_(about={"metrics": [1]}),
        "libraries a list": with_(about={"libraries": ["a"]}),
        "start of numbers": with_(about={"start": {"noise": 1}}),
        "params a text": with_(about={"params": "x"}),
        "created no date": with_(created="yesterday"),
        "created a number": with_(created=5),
        "created elsewhere": with_(created="2026-01-01T00:00:00+05:00"),
        "size negative": with_size(-1),
        "size absurd": with_size(10**30),
        "size true": with_size(True),
        "size a fraction": with_size(1.0),
        "a name that climbs": with_(files={**manifest["files"], "../x": file}),
        "a name that steers": with_(files={**manifest["files"], "\x1b[2J": file}),
        "names alike": with_(files={**manifest["files"], name.upper(): file}),
        "a file below a file": with_(files={**manifest["files"], f"{name}/x": file}),
        "the manifest itself": with_(files={**manifest["files"], "Manifest.JSON": file}),
        "a signature that is a list": with_(signature=["x"]),
        "something else too": with_(more=1),
    }


STEERING = "\x1b]0;owned\x07\x1b[31m\u202e\x9b[red]bold[/red][link=https://evil]x[/link]\r\n"


def test_one_bad_version_is_a_row_and_the_rest_is_shown(
    registry: Registry, workspace: Path
) -> None:
    good = registry.publish(GOOD, {})
    registry.aliases.move("champion", good.id)
    for number, (name, content) in enumerate(_hostile(good).items()):
        bad = registry.publish({**EVIL, "n": str(number).encode()}, {})
        content = content.replace(good.id.encode(), bad.id.encode())
        Path(registry.uri, "versions", bad.id, MANIFEST).write_bytes(content)
        listed = run("list", "--registry", registry.uri)
        assert short(good.id) in listed, name
        assert "damaged" in listed, name
        told = {one["id"]: one for one in _json("list", "--json", "--registry", registry.uri)}
        assert "damaged" not in told[good.id]
        assert "manifest.json" in told[bad.id]["damaged"], name
        for command in (["show", bad.id], ["diff", "champion", bad.id], ["promote", bad.id]):
            with pytest.raises(UserError) as refused:
                run(*command, "--registry", registry.uri)
            said = str(refused.value)
            assert len(said.splitlines()) == 1, name
            assert said == printable(said), name
        cleaned = run("gc", "--keep", "0", "--hours", "0", "--registry", registry.uri)
        assert "left alone" in cleaned, name
        shutil.rmtree(Path(registry.uri, "versions", bad.id))
    assert registry.resolve("champion") == good


def test_strings_of_a_publisher_steer_no_terminal_and_are_no_markup(registry: Registry) -> None:
    about = {
        "git": STEERING,
        "data": {STEERING: STEERING},
        "libraries": {"torch": STEERING},
        "params": {"a": [STEERING], STEERING: 1},
        "start": {STEERING: STEERING},
        "x": {STEERING: 1},
    }
    good, evil = registry.publish(GOOD, {}), registry.publish(EVIL, about)
    registry.aliases.move("champion", evil.id, STEERING)
    uri = registry.uri
    for command in (["list"], ["show", "champion"], ["diff", good.id, "champion"]):
        for shape in ([], ["--json"]):
            said = run(*command, *shape, "--registry", uri)
            assert said == printable(said, lines=True), command
            if not shape and command != ["list"]:
                assert "[red]bold" in said.replace("\n", "").replace(" ", "")


@pytest.mark.parametrize(
    "content",
    [
        b"[" * 100_000,
        b" " * (SMALL + 1),
        b'{"version": "x", "history": []}',
        b'{"version": "%s", "history": [{"version": "%s", "moved": "\x1b"}]}'
        % (b"0" * 64, b"0" * 64),
    ],
)
def test_a_bad_alias_is_said_and_the_rest_is_shown(registry: Registry, content: bytes) -> None:
    good = registry.publish(GOOD, {})
    registry.aliases.move("champion", good.id)
    registry.store.put("aliases/bad.json", content)
    said = run("list", "--registry", registry.uri)
    assert short(good.id) in said
    assert "champion" in said
    assert "bad.json" in said
    assert registry.resolve(good.id[:12]) == good
    run("show", "champion", "--registry", registry.uri)
    with pytest.raises(UserError, match=r"bad\.json"):
        registry.resolve("bad")


def _json(*arguments: str) -> Any:
    return json.loads(CliRunner().invoke(app, list(arguments), catch_exceptions=False).stdout)


def test_a_file_that_grew_is_not_read(tmp_path: Path) -> None:
    registry = Registry.open(str(tmp_path / "bucket"))
    version = registry.publish({"note.txt": b"abc"}, {})
    note = tmp_path / "bucket/versions" / version.id / "note.txt"
    with note.open("r+b") as file:
        file.truncate(2**40)  # a hole: it takes no disk
    with pytest.raises(UserError, match="must have 3"):
        registry.pull(version.id, tmp_path / "pulled")
    assert not (tmp_path / "pulled").exists()
    assert "bytes" in registry.verify(version.id)[0]
    note.unlink()
    os.mkfifo(note)
    with pytest.raises(UserError, match="is no file"):
        registry.pull(version.id, tmp_path / "pulled")
    with pytest.raises(UserError, match="is no file"):
        registry.verify(version.id)
