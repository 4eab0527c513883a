"""A published version is whole, immutable and verified, in a folder and on a real S3 server."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from drdd.errors import TransientError, UserError
from drdd.registry.registry import MANIFEST, Registry, check
from drdd.registry.store import Store
from tests.conftest import ROOT

FILES: dict[str, Path | bytes] = {"config.json": b"{}", "model.safetensors": bytes(100_000)}
OTHER: dict[str, Path | bytes] = {**FILES, "config.json": b'{"a": 1}'}


def test_what_is_published_is_listed_resolved_and_pulled(
    registry: Registry, tmp_path: Path
) -> None:
    source = tmp_path / "report.html"
    source.write_bytes(b"<html>")
    version = registry.publish({**FILES, "report.html": source}, {"git": "abc"})
    registry.set_alias("champion", version.id)
    assert [v.id for v in registry.versions()] == [version.id]
    assert registry.aliases() == {"champion": version.id}
    for ref in ("champion", version.id, version.id[:5]):
        assert registry.resolve(ref) == version
    assert registry.verify("champion") == []
    registry.pull("champion", tmp_path / "pulled")
    assert (tmp_path / "pulled/report.html").read_bytes() == b"<html>"
    assert (tmp_path / "pulled/model.safetensors").read_bytes() == bytes(100_000)
    assert check(tmp_path / "pulled", version.id) == []
    manifest = json.loads((tmp_path / "pulled" / MANIFEST).read_text())
    assert manifest["about"] == {"git": "abc"}
    assert manifest["files"]["config.json"]["size"] == 2


def test_the_same_content_is_the_same_version(registry: Registry) -> None:
    first = registry.publish(FILES, {"n": 1})
    assert registry.publish(FILES, {"n": 2}) == first
    second = registry.publish(OTHER, {})
    assert second.id != first.id
    assert {v.id for v in registry.versions()} == {first.id, second.id}


def test_an_alias_moves_and_points_to_nothing_that_is_not_there(registry: Registry) -> None:
    first, second = registry.publish(FILES, {}), registry.publish(OTHER, {})
    registry.set_alias("champion", first.id)
    registry.set_alias("champion", second.id)
    assert registry.resolve("champion").id == second.id
    with pytest.raises(UserError, match="no version 'feedfeedfeed'"):
        registry.set_alias("champion", "feedfeedfeed")
    assert registry.resolve("champion").id == second.id


def test_an_unknown_name_is_refused_with_what_is_near(registry: Registry) -> None:
    registry.set_alias("champion", registry.publish(FILES, {}).id)
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


def _publish_and_promote(registry: Registry) -> str:
    version = registry.publish(OTHER, {})
    registry.set_alias("champion", version.id)
    return version.id


@pytest.mark.parametrize("failing", range(4))
def test_a_publisher_that_fails_at_any_write_leaves_the_old_champion(
    registry: Registry, monkeypatch: pytest.MonkeyPatch, failing: int
) -> None:
    """Two files, the manifest, the alias: each of the four writes fails once."""
    old = registry.publish(FILES, {})
    registry.set_alias("champion", old.id)
    put, calls = Store.put, []

    def flaky(self: Store, name: str, content: Any) -> None:
        calls.append(name)
        if len(calls) == failing + 1:
            raise TransientError("the line is cut")
        put(self, name, content)

    with monkeypatch.context() as patch:
        patch.setattr(Store, "put", flaky)
        with pytest.raises(TransientError):
            _publish_and_promote(registry)
    assert registry.resolve("champion").id == old.id
    visible = registry.versions()
    assert len(visible) == (2 if failing == 3 else 1)
    assert all(registry.verify(version.id) == [] for version in visible)
    assert registry.resolve(_publish_and_promote(registry)).id != old.id
    assert len(registry.versions()) == 2


def test_a_killed_publisher_leaves_nothing_visible(tmp_path: Path) -> None:
    """A real process, really killed, in the middle of its files."""
    script = (
        "import sys, time\n"
        "from drdd.registry.registry import Registry\n"
        "from drdd.registry.store import Store\n"
        "put = Store.put\n"
        "def slow(self, name, content):\n"
        "    put(self, name, content); print(name, flush=True); time.sleep(30)\n"
        "Store.put = slow\n"
        "Registry.open(sys.argv[1]).publish({'a': b'1', 'b': b'2'}, {})\n"
    )
    uri = str(tmp_path / "models")
    process = subprocess.Popen(
        [sys.executable, "-c", script, uri], stdout=subprocess.PIPE, cwd=ROOT, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline().endswith("/a\n")
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    process.stdout.close()
    registry = Registry.open(uri)
    assert registry.versions() == []
    version = registry.publish({"a": b"1", "b": b"2"}, {})
    assert registry.verify(version.id) == []


def test_wrong_keys_are_refused(s3: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", s3["AWS_ENDPOINT_URL"])
    monkeypatch.setenv("AWS_DEFAULT_REGION", s3["AWS_DEFAULT_REGION"])
    for key, secret in ((s3["AWS_ACCESS_KEY_ID"], "wrong"), ("unknown", "wrong")):
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", key)
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", secret)
        with pytest.raises(UserError, match="refused") as error:
            Registry.open("s3://drdd/models").publish(FILES, {})
        assert "wrong" not in str(error.value)


def test_a_missing_bucket_is_said(s3: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in s3.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(UserError, match="bucket"):
        Registry.open("s3://no-such-bucket/models").resolve("champion")


def test_an_endpoint_that_is_down_may_come_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    with pytest.raises(TransientError, match=r"127\.0\.0\.1:9 does not answer"):
        Registry.open("s3://drdd/models").publish(FILES, {})


def test_racing_publishers_of_one_content_agree(tmp_path: Path) -> None:
    script = (
        "import sys\n"
        "from drdd.registry.registry import Registry\n"
        "files = {str(i): bytes(10000) for i in range(20)}\n"
        "print(Registry.open(sys.argv[1]).publish(files, {}).id)\n"
    )
    uri = str(tmp_path / "models")
    command = [sys.executable, "-c", script, uri]
    racers = [
        subprocess.Popen(command, stdout=subprocess.PIPE, cwd=ROOT, text=True) for _ in range(3)
    ]
    ids = {racer.communicate()[0].strip() for racer in racers}
    assert len(ids) == 1
    assert Registry.open(uri).verify(ids.pop()) == []


def test_the_newest_version_is_listed_first(tmp_path: Path) -> None:
    registry = Registry.open(str(tmp_path))
    first = registry.publish(FILES, {})
    time.sleep(1.1)  # created is kept in whole seconds
    second = registry.publish(OTHER, {})
    assert [version.id for version in registry.versions()] == [second.id, first.id]
