"""Shards of a version: sent as DVC sends them, fetched by content, and never used when damaged."""

import json
import pickle
import shutil
import subprocess
from pathlib import Path

import pytest
from dvc.repo import Repo

from drdd.data.library import Library
from drdd.errors import TransientError, UserError
from drdd.storage.filesystems import open_filesystem
from drdd.storage.versions import (
    Address,
    addresses,
    at_hand,
    listed,
    node_cache,
    push,
    shared_folder,
    versioned,
)
from tests.corpora import files_of, picture, scene, write_shards
from tests.project import BIN

FOLDER = Path("data/corpora/nature")
PICTURES = [picture(scene(seed), f"{seed}.png") for seed in range(6)]


@pytest.fixture(params=["folder", "s3"])
def project(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Path:
    """A DVC repository with a corpus of several shards, and a remote that has nothing yet."""
    monkeypatch.setenv("DRDD_SHARD_CACHE", str(tmp_path / "node"))
    for limit in ("GROUP_BYTES", "SHARD_BYTES"):
        monkeypatch.setattr(f"drdd.data.shards.{limit}", 2 * len(PICTURES[0].content))
    url = str(tmp_path / "remote")
    if request.param == "s3":
        for name, value in request.getfixturevalue("s3").items():
            monkeypatch.setenv(name, value)
        url = f"s3://drdd/dvc-{tmp_path.name}"
    root = _repository(tmp_path / "project", url)
    monkeypatch.chdir(root)
    write_shards(FOLDER, PICTURES)
    return root


@pytest.fixture
def addressed(project: Path) -> list[Address]:
    return versioned(addresses([FOLDER]))


@pytest.fixture
def remote(addressed: list[Address]) -> list[Address]:
    """Of shards that are in the remote alone."""
    push(addressed)
    shutil.rmtree(FOLDER)
    return addressed


def _repository(root: Path, url: str) -> Path:
    root.mkdir()
    Repo.init(str(root), no_scm=True).close()
    (root / ".dvc/config").write_text(
        "[core]\n    no_scm = true\n    analytics = false\n    remote = storage\n"
        f"['remote \"storage\"']\n    url = {url}\n"
    )
    return root


def _dvc(*arguments: str) -> str:
    command = [str(BIN / "dvc"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def _objects() -> dict[str, bytes]:
    """Of the default remote, by name."""
    filesystem, path = open_filesystem(shared_folder("files/md5"))
    found = filesystem.find(path)
    return {name.removeprefix(f"{path}/"): filesystem.cat_file(name) for name in found}


def _overwrite(address: Address, content: bytes) -> None:
    assert address.remote is not None
    filesystem, path = open_filesystem(address.remote)
    if "://" not in address.remote:
        Path(path).chmod(0o644)
    filesystem.pipe_file(path, content)


def _remove(address: Address) -> None:
    assert address.remote is not None
    filesystem, path = open_filesystem(address.remote)
    filesystem.rm_file(path)


def _flipped(content: bytes, at: int) -> bytes:
    return content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :]


def test_what_is_sent_is_what_dvc_sends(project: Path, addressed: list[Address]) -> None:
    assert len(addressed) > 1
    assert push(addressed) == len(addressed)
    ours = _objects()
    assert push(addressed) == 0
    _dvc("add", "--quiet", str(FOLDER))
    assert all(one.cached and one.cached.read_bytes() == one.path.read_bytes() for one in addressed)
    assert _dvc("push").split()[0] == "2"  # the listing of the shards, and that of the folder
    theirs = _objects()
    assert {name: theirs[name] for name in ours} == ours
    assert len(theirs) == len(ours) + 2

    files = files_of(FOLDER)
    for place in (FOLDER, project / ".dvc/cache"):
        shutil.rmtree(place)
    _dvc("pull")
    assert files_of(FOLDER) == files


def test_only_the_shards_that_hold_what_is_wanted_are_addressed(project: Path) -> None:
    wanted = PICTURES[0].id
    (one,) = addresses([FOLDER], frozenset([wanted]))
    assert wanted in one.ids
    assert sum(len(shard.ids) for shard in addresses([FOLDER])) == len(PICTURES)


def test_a_machine_without_the_data_fetches_what_it_needs_and_keeps_it(
    remote: list[Address],
) -> None:
    library = Library(remote)
    assert not node_cache().exists()
    assert library.content(PICTURES[0].id) == PICTURES[0].content
    (kept,) = node_cache().iterdir()
    assert kept.name == next(one.shard.md5 for one in remote if PICTURES[0].id in one.ids)
    for one in PICTURES:
        assert library.content(one.id) == one.content
    assert sorted(path.name for path in node_cache().iterdir()) == sorted(
        one.shard.md5 for one in remote
    )
    for address in remote:
        _remove(address)
    assert Library(remote).content(PICTURES[3].id) == PICTURES[3].content


def test_what_is_in_the_workspace_or_in_dvcs_cache_is_not_fetched(addressed: list[Address]) -> None:
    assert [at_hand(one) for one in addressed] == [one.path for one in addressed]
    _dvc("add", "--quiet", str(FOLDER))
    shutil.rmtree(FOLDER)
    assert [at_hand(one) for one in addressed] == [one.cached for one in addressed]
    assert not node_cache().exists()


def test_a_damaged_object_of_the_remote_is_refused_and_not_kept(remote: list[Address]) -> None:
    content = _objects()[f"{remote[0].shard.md5[:2]}/{remote[0].shard.md5[2:]}"]
    for damaged in (_flipped(content, 100), content[:-1], b""):
        _overwrite(remote[0], damaged)
        with pytest.raises(UserError, match=r"has MD5 .*damaged; delete it there and `dvc push`"):
            Library(remote).content(PICTURES[0].id)
        assert list(node_cache().iterdir()) == []


def test_a_missing_object_says_who_must_push(remote: list[Address]) -> None:
    _remove(remote[0])
    with pytest.raises(UserError, match=rf"{remote[0].shard.md5[2:]} is not there; `dvc push`"):
        at_hand(remote[0])
    assert list(node_cache().iterdir()) == []


def test_what_changed_in_the_node_cache_is_refused(remote: list[Address]) -> None:
    kept = at_hand(remote[0])
    whole = kept.read_bytes()
    inside = whole.index(PICTURES[0].content[-200:-100])
    for at in (inside, len(whole) - 20):  # in the picture; in what says where it is
        kept.write_bytes(_flipped(whole, at))
        with pytest.raises(UserError, match="delete the file"):
            Library(remote).content(PICTURES[0].id)
    kept.write_bytes(whole[:-1])
    assert Library(remote).content(PICTURES[0].id) == PICTURES[0].content  # fetched anew
    assert kept.read_bytes() == whole


def test_a_damaged_shard_of_the_workspace_is_not_sent(addressed: list[Address]) -> None:
    path = addressed[0].path
    path.write_bytes(_flipped(path.read_bytes(), 100))
    with pytest.raises(UserError, match=r"00000\.parquet: its content has MD5 .*dvc checkout"):
        push(addressed)
    assert _objects() == {}


def test_sending_needs_none_of_the_locks_that_a_running_pipeline_holds(
    project: Path, addressed: list[Address]
) -> None:
    locks = {"read": {str(FOLDER.absolute()): [{"pid": 1, "cmd": "dvc repro"}]}, "write": {}}
    with Repo() as repo, repo.lock:
        (project / ".dvc/tmp/rwlock").write_text(json.dumps(locks))
        assert push(versioned(addressed)) == len(addressed)


@pytest.mark.parametrize("project", ["s3"], indirect=True)
def test_a_store_that_refuses_is_said(
    remote: list[Address], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "not-the-secret")
    for ask in (
        lambda: push(remote),
        lambda: at_hand(remote[0]),
        lambda: shared_folder("checkpoints"),
    ):
        with pytest.raises(UserError, match="access refused") as error:
            ask()
        assert "not-the-secret" not in str(error.value)


@pytest.mark.parametrize("project", ["s3"], indirect=True)
def test_a_store_that_is_down_may_come_back(
    remote: list[Address], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    with pytest.raises(TransientError, match="does not answer"):
        at_hand(remote[0])


@pytest.mark.slow
@pytest.mark.parametrize("project", ["s3"], indirect=True)
def test_a_store_that_is_down_is_asked_again_and_again_before_sending_is_given_up(
    addressed: list[Address], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    with pytest.raises(TransientError, match="does not answer"):
        push(addressed)


def test_an_endpoint_of_dvcs_own_is_handed_on_and_keys_never_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DRDD_SHARD_CACHE", str(tmp_path / "node"))
    for name in ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3"):
        monkeypatch.delenv(name, raising=False)
    root = _repository(tmp_path / "project", "s3://drdd/dvc")
    secrets = ("an-access-key", "a-secret-key")
    (root / ".dvc/config.local").write_text(
        "['remote \"storage\"']\n    endpointurl = http://store:8333\n"
        f"    access_key_id = {secrets[0]}\n    secret_access_key = {secrets[1]}\n"
    )
    monkeypatch.chdir(root)
    write_shards(FOLDER, PICTURES)
    (one,) = versioned(addresses([FOLDER]))
    assert one.remote == f"s3://drdd/dvc/files/md5/{one.shard.md5[:2]}/{one.shard.md5[2:]}"
    assert not any(secret.encode() in pickle.dumps(one) for secret in secrets)
    shutil.rmtree(FOLDER)
    for ask in (lambda: at_hand(one), lambda: shared_folder("checkpoints")):
        with pytest.raises(UserError, match=r"is at http://store:8333.*set AWS_ENDPOINT_URL"):
            ask()


def test_without_a_remote_or_a_repository_the_data_are_in_the_workspace_alone(
    workspace: Path,
) -> None:
    write_shards(FOLDER, PICTURES)
    found = addresses([FOLDER])
    assert versioned(found) == found
    Repo.init(".", no_scm=True).close()
    assert [one.remote for one in versioned(found)] == [None]
    for send in (lambda: push(found), lambda: shared_folder("checkpoints")):
        with pytest.raises(UserError, match=r"no DVC remote.*dvc remote add"):
            send()
    shutil.rmtree(FOLDER)
    with pytest.raises(UserError, match=r"00000\.parquet is not on this machine.*dvc remote add"):
        at_hand(found[0])


def test_a_remote_that_is_not_configured_is_said(workspace: Path) -> None:
    Repo.init(".", no_scm=True).close()
    write_shards(FOLDER, PICTURES)
    Path(".dvc/config").write_text("[core]\n    no_scm = true\n    remote = lost\n")
    with pytest.raises(UserError, match="DVC's remote 'lost'"):
        versioned(addresses([FOLDER]))
    Path(".dvc/config").write_text("[core]\n    no_scm = maybe\n")
    with pytest.raises(UserError, match="DVC's configuration"):
        versioned(addresses([FOLDER]))
    assert len(listed(FOLDER)) == 1
