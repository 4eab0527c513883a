"""A published version is whole, immutable and verified, in a folder and on a real S3 server."""

import json
import time
from hashlib import sha256
from pathlib import Path

import pytest

from drdd.errors import UserError
from drdd.registry.manifest import MANIFEST, File, version_id
from drdd.registry.pulling import check
from drdd.registry.registry import Registry
from drdd.storage.objects import Store

FILES: dict[str, Path | bytes] = {"config.json": b"{}", "model.safetensors": bytes(100_000)}
OTHER: dict[str, Path | bytes] = {**FILES, "config.json": b'{"a": 1}'}


def test_what_is_published_is_listed_resolved_and_pulled(
    registry: Registry, tmp_path: Path
) -> None:
    source = tmp_path / "report.html"
    source.write_bytes(b"<html>")
    version = registry.publish({**FILES, "report.html": source}, {"git": "abc"})
    registry.aliases.move("champion", version.id)
    assert [v.id for v in registry.versions()] == [version.id]
    assert registry.aliases.all() == {"champion": version.id}
    for ref in ("champion", version.id, version.id[:6], version.id[:63]):
        assert registry.resolve(ref) == version
    assert registry.verify("champion") == []
    registry.pull("champion", tmp_path / "pulled")
    assert (tmp_path / "pulled/report.html").read_bytes() == b"<html>"
    assert (tmp_path / "pulled/model.safetensors").read_bytes() == bytes(100_000)
    assert check(tmp_path / "pulled", version) == []
    manifest = json.loads((tmp_path / "pulled" / MANIFEST).read_text())
    assert manifest["about"] == {"git": "abc"}
    assert manifest["files"]["config.json"]["size"] == 2


def test_the_same_content_is_the_same_version(registry: Registry) -> None:
    first = registry.publish(FILES, {"n": 1})
    assert registry.publish(FILES, {"n": 2}) == first
    second = registry.publish(OTHER, {})
    assert second.id != first.id
    assert {v.id for v in registry.versions()} == {first.id, second.id}


def test_what_differs_from_run_to_run_does_not_name_a_version(registry: Registry) -> None:
    """The first publisher's report stays: a version never changes. All of it is verified."""
    first = registry.publish({**FILES, "report.html": b"0.2 s", "dvc.lock": b"a"}, {})
    again = registry.publish({**FILES, "report.html": b"0.3 s", "dvc.lock": b"b"}, {})
    assert again == first
    assert registry.store.get(f"versions/{first.id}/report.html") == b"0.2 s"
    assert first.id == version_id({name: first.files[name] for name in FILES})
    assert registry.verify(first.id) == []
    registry.store.put(f"versions/{first.id}/report.html", b"<script>")
    assert [said.split()[0] for said in registry.verify(first.id)] == ["report.html"]


def test_what_a_killed_publisher_measured_is_kept(registry: Registry) -> None:
    id_ = registry.publish({**FILES, "report.html": b"0.2 s"}, {}).id
    registry.store.delete(f"versions/{id_}/{MANIFEST}")
    again = registry.publish({**FILES, "report.html": b"0.3 s"}, {})
    assert again.id == id_
    assert registry.verify(id_) == []


def test_an_alias_moves_and_points_to_nothing_that_is_not_there(registry: Registry) -> None:
    first, second = registry.publish(FILES, {}), registry.publish(OTHER, {})
    registry.aliases.move("champion", first.id)
    registry.aliases.move("champion", second.id)
    assert registry.resolve("champion").id == second.id
    with pytest.raises(UserError, match="no version 'feedfeed"):
        registry.aliases.move("champion", "feed" * 16)
    assert registry.resolve("champion").id == second.id


def test_what_an_alias_points_to_may_not_be_there(registry: Registry) -> None:
    assert registry.pointed("champion") is None
    version = registry.publish(FILES, {})
    registry.aliases.move("champion", version.id)
    assert registry.pointed("champion") == version
    assert registry.pointed(version.id) is None  # an id is no alias
    store = Store(registry.uri)
    alias = store.get("aliases/champion.json")
    assert alias is not None
    store.put("aliases/champion.json", alias.replace(version.id.encode(), b"feed" * 16))
    assert registry.aliases.all() == {"champion": "feed" * 16}
    assert registry.pointed("champion") is None


def test_an_unknown_name_is_refused_with_what_is_near(registry: Registry) -> None:
    registry.aliases.move("champion", registry.publish(FILES, {}).id)
    with pytest.raises(UserError, match=r"no model 'champoin'; nearest: champion"):
        registry.resolve("champoin")


def test_tampering_is_found(registry: Registry, tmp_path: Path) -> None:
    version = registry.publish(FILES, {})
    Store(registry.uri).put(f"versions/{version.id}/model.safetensors", bytes(99_999) + b"x")
    assert len(registry.verify(version.id)) == 1
    assert "model.safetensors has SHA-256" in registry.verify(version.id)[0]
    with pytest.raises(UserError, match=r"damaged: model\.safetensors"):
        registry.pull(version.id, tmp_path / "pulled")
    assert not (tmp_path / "pulled").exists()
    assert not list(tmp_path.glob(".pull-*"))


def test_a_destination_that_holds_something_else_is_kept(
    registry: Registry, tmp_path: Path
) -> None:
    version = registry.publish(FILES, {})
    full = tmp_path / "full"
    full.mkdir()
    (full / "mine.txt").write_text("precious")
    with pytest.raises(UserError, match="holds something else"):
        registry.pull(version.id, full)
    assert (full / "mine.txt").read_text() == "precious"
    registry.pull(version.id, tmp_path / "pulled")
    registry.pull(version.id, tmp_path / "pulled")  # already there, and right


def test_a_changed_manifest_cannot_vouch_for_a_changed_file(
    registry: Registry, tmp_path: Path
) -> None:
    version = registry.publish(FILES, {})
    store = Store(registry.uri)
    folder = f"versions/{version.id}"
    manifest = json.loads(store.get(f"{folder}/{MANIFEST}") or b"")
    manifest["files"]["config.json"]["sha256"] = sha256(b"[]").hexdigest()
    store.put(f"{folder}/config.json", b"[]")
    store.put(f"{folder}/{MANIFEST}", json.dumps(manifest).encode())
    for use in (registry.verify, lambda ref: registry.pull(ref, tmp_path / "pulled")):
        with pytest.raises(UserError, match=f"do not make up version {version.id}"):
            use(version.id)
    assert not (tmp_path / "pulled").exists()


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"{}", b'{"files": {"a": 1}}', b"\xff"])
def test_a_damaged_manifest_is_named(tmp_path: Path, content: bytes) -> None:
    registry = Registry.open(str(tmp_path))
    version = registry.publish(FILES, {})
    (tmp_path / "versions" / version.id / MANIFEST).write_bytes(content)
    with pytest.raises(UserError, match=rf"{version.id}/manifest\.json is not a manifest"):
        registry.resolve(version.id)


def test_no_name_leads_out_of_the_registry_or_of_a_pulled_folder(
    registry: Registry, tmp_path: Path
) -> None:
    for name in ("../a", "/a", "a/../../b", "", "a//b", ".hidden", MANIFEST, "a\nb"):
        with pytest.raises(UserError, match="cannot be the name"):
            registry.publish({name: b"x"}, {})
    version = registry.publish(FILES, {})
    for name in ("../versions/x", "a/b", "", ".."):
        with pytest.raises(UserError, match="cannot be an alias"):
            registry.aliases.move(name, version.id)
    files = {"../../out": File(sha256(b"x").hexdigest(), 1)}
    id_ = version_id(files)
    listed = {name: vars(file) for name, file in files.items()}
    manifest = {"id": id_, "created": "2026-01-01T00:00:00+00:00", "files": listed, "about": {}}
    Store(registry.uri).put(f"versions/{id_}/{MANIFEST}", json.dumps(manifest).encode())
    with pytest.raises(UserError, match="cannot be the name of a published file"):
        registry.pull(id_, tmp_path / "deep" / "pulled")
    assert not list(tmp_path.rglob("out"))


def test_a_version_without_its_manifest_does_not_exist(registry: Registry) -> None:
    id_ = Registry.publish(registry, FILES, {}).id
    half = "0" * 64
    Store(registry.uri).put(f"versions/{half}/config.json", b"{}")
    assert [version.id for version in registry.versions()] == [id_]
    with pytest.raises(UserError, match="no model"):
        registry.resolve(half)
    with pytest.raises(UserError, match="no version"):
        registry.aliases.move("champion", half)


@pytest.mark.parametrize("uri", ["s3://", "s3:///models", "s3://a b/models", "gs://drdd/models"])
def test_an_address_that_is_no_registry_is_refused(uri: str) -> None:
    with pytest.raises(UserError, match="s3://bucket/prefix or a folder"):
        Registry.open(uri)


def test_a_folder_with_one_file_too_many_is_not_the_version(tmp_path: Path) -> None:
    registry = Registry.open(str(tmp_path / "models"))
    version = registry.publish(FILES, {})
    registry.pull(version.id, tmp_path / "pulled")
    (tmp_path / "pulled" / "extra.txt").write_text("mine")
    with pytest.raises(UserError, match=r"extra\.txt does not belong to it"):
        registry.pull(version.id, tmp_path / "pulled")
    assert (tmp_path / "pulled" / "extra.txt").read_text() == "mine"


@pytest.mark.parametrize("ref", ["", "../versions", "x" * 300, "*"])
def test_a_reference_that_names_nothing_is_unknown(tmp_path: Path, ref: str) -> None:
    registry = Registry.open(str(tmp_path))
    registry.publish(FILES, {})
    with pytest.raises(UserError, match="no model"):
        registry.resolve(ref)


def test_the_newest_version_is_listed_first(tmp_path: Path) -> None:
    registry = Registry.open(str(tmp_path))
    published = []
    for number in range(5):
        published.append(registry.publish({"a": str(number).encode()}, {}))
        time.sleep(0.002)  # `created` is kept in milliseconds
    assert registry.versions() == published[::-1]
