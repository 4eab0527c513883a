"""A cleaning takes what is left behind, and never what someone uses or is about to use."""

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from drdd.registry.cleaning import leftovers, remove
from drdd.registry.manifest import MANIFEST, Version
from drdd.registry.registry import Registry
from drdd.storage.objects import Store
from tests.conftest import ROOT

FILES: dict[str, Path | bytes] = {"config.json": b"{}", "sub/model.safetensors": bytes(1000)}


def _publish(registry: Registry, count: int) -> list[Version]:
    """Oldest first."""
    found = []
    for number in range(count):
        found.append(registry.publish({**FILES, "n": str(number).encode()}, {}))
        time.sleep(0.002)  # `created` is kept in milliseconds
    return found


def _clean(registry: Registry, keep: int | None = None) -> list[str]:
    """Of any age, as if a day had passed. An S3 server's times have seconds."""
    return [one.name for one in remove(registry, leftovers(registry, -1, keep), -1)]


def _left_by_a_killed_publisher(registry: Registry) -> str:
    class KilledError(Exception):
        pass

    def put(self: Store, name: str, content: bytes) -> None:
        raise KilledError

    with pytest.MonkeyPatch.context() as patch:
        original = Store.put
        patch.setattr(
            Store,
            "put",
            lambda self, name, content: (put if MANIFEST in name else original)(
                self, name, content
            ),
        )
        with pytest.raises(KilledError):
            registry.publish({**FILES, "killed": b"1"}, {})
    (folder,) = {
        name.split("/")[1] for name in registry.store.names("versions") if name.endswith("killed")
    }
    return f"versions/{folder}"


def test_an_unfinished_publication_goes_when_it_is_old(registry: Registry) -> None:
    (whole,) = _publish(registry, 1)
    half = _left_by_a_killed_publisher(registry)
    assert leftovers(registry) == []  # it is young: its publisher may be at work
    assert remove(registry, leftovers(registry, -1)) == []  # nor is it taken when it was found
    (found,) = leftovers(registry, -1)
    assert found.name == half
    assert len(found.objects) == 3
    assert _clean(registry) == [half]
    assert registry.store.names(half) == []
    assert registry.verify(whole.id) == []
    assert _clean(registry) == []


def test_temporary_files_of_killed_writers_go(tmp_path: Path) -> None:
    registry = Registry.open(str(tmp_path))
    (version,) = _publish(registry, 1)
    registry.aliases.move("champion", version.id)
    left = tmp_path / "versions" / version.id / ".n.1-2.tmp"
    left.write_bytes(b"half")
    assert leftovers(registry) == []
    day_old = time.time() - 25 * 3600
    os.utime(left, (day_old, day_old))
    assert [one.name for one in leftovers(registry)] == [str(left.relative_to(tmp_path))]
    assert len(remove(registry, leftovers(registry))) == 1
    assert not left.exists()
    assert registry.verify("champion") == []
    assert (tmp_path / "aliases/.champion.json.lock").exists()  # a lock is no left-over


def test_old_versions_go_unless_an_alias_ever_pointed_to_them(registry: Registry) -> None:
    versions = _publish(registry, 6)
    ids = [version.id for version in versions]
    registry.aliases.move("champion", ids[0])
    registry.aliases.move("champion", ids[2])
    assert leftovers(registry, -1) == []
    assert leftovers(registry, 24, keep=0) == []
    assert _clean(registry, keep=2) == [f"versions/{ids[3]}", f"versions/{ids[1]}"]
    assert [v.id for v in registry.versions()] == [ids[5], ids[4], ids[2], ids[0]]
    assert all(registry.verify(version.id) == [] for version in registry.versions())
    for gone in (ids[1], ids[3]):
        assert registry.store.names(f"versions/{gone}") == []
    assert registry.aliases.rollback("champion").version == ids[0]


def test_a_version_that_is_promoted_while_it_is_deleted_is_put_back(registry: Registry) -> None:
    """The alias moves after the cleaning has looked, before or after the manifest is gone."""
    for moment in ("before", "after"):
        version = registry.publish({**FILES, "moment": moment.encode()}, {})
        found = [one for one in leftovers(registry, -1, 0) if one.version == version]
        delete = Store.delete

        def promote_meanwhile(
            store: Store,
            name: str,
            moment: str = moment,
            id_: str = version.id,
            delete: Any = delete,
        ) -> None:
            if name.endswith(MANIFEST) and moment == "before":
                registry.aliases.move(moment, id_)
            delete(store, name)
            if name.endswith(MANIFEST) and moment == "after":
                with pytest.MonkeyPatch.context() as patch:
                    # It had found the version before it went.
                    patch.setattr(registry.aliases, "_usable", lambda *_: None)
                    registry.aliases.move(moment, id_)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Store, "delete", promote_meanwhile)
            assert remove(registry, found, -1) == []
        assert registry.verify(moment) == []


def test_a_version_that_lost_its_manifest_is_finished_off_by_the_next_cleaning(
    registry: Registry,
) -> None:
    (version,) = _publish(registry, 1)

    class KilledError(Exception):
        pass

    def killed(store: Store, name: str) -> None:
        if not name.endswith(MANIFEST):
            raise KilledError
        delete(store, name)

    delete = Store.delete
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Store, "delete", killed)
        with pytest.raises(KilledError):
            _clean(registry, keep=0)
    assert registry.versions() == []
    assert _clean(registry) == [f"versions/{version.id}"]
    assert registry.store.names("versions") == []


@pytest.mark.parametrize("moment", ["files", "manifest"])
def test_a_publisher_whose_files_are_cleaned_away_writes_them_again(
    registry: Registry, moment: str
) -> None:
    """A cleaning that takes a slow publisher for killed, just before or just after the manifest."""
    put, cleaned = Store.put, []

    def clean_meanwhile(store: Store, name: str, content: Path | bytes) -> None:
        if name.endswith(MANIFEST) and moment == "manifest":
            found = leftovers(registry, -1)
            put(store, name, content)
            cleaned.extend(remove(registry, found, -1))
        else:
            put(store, name, content)
            if name.endswith("model.safetensors") and moment == "files" and not cleaned:
                cleaned.extend(remove(registry, leftovers(registry, -1), -1))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Store, "put", clean_meanwhile)
        version = registry.publish(FILES, {})
    assert cleaned
    assert registry.verify(version.id) == []


def test_cleanings_beside_publishers_cost_no_version(registry: Registry) -> None:
    """Real processes; the cleaning takes what is three seconds old for left behind."""
    script = (
        "import sys\n"
        "from drdd.registry.registry import Registry\n"
        "registry = Registry.open(sys.argv[1])\n"
        "for n in range(6):\n"
        "    files = {str(i): f'{sys.argv[2]} {n} {i}'.encode() for i in range(3)}\n"
        "    version = registry.publish(files, {})\n"
        "    registry.aliases.move('champion', version.id)\n"
    )
    publishers = [
        subprocess.Popen([sys.executable, "-c", script, registry.uri, name], cwd=ROOT)
        for name in ("a", "b")
    ]
    rounds = 0
    while any(publisher.poll() is None for publisher in publishers):
        remove(registry, leftovers(registry, 3 / 3600), 3 / 3600)
        rounds += 1
    assert [publisher.returncode for publisher in publishers] == [0, 0]
    assert rounds > 1
    assert len(registry.versions()) == 12
    assert all(registry.verify(version.id) == [] for version in registry.versions())
    alias = registry.aliases.get("champion")
    assert alias is not None
    assert {move.version for move in alias.history} == {v.id for v in registry.versions()}
