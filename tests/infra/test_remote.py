"""DVC's remote while the stack is up: lent endpoint and keys, which leave the user's settings alone."""

import shutil
import stat
import subprocess
from pathlib import Path

import pytest
from dvc.config import Config

from drdd.errors import UserError
from flows.workspace import workspace
from infra.local import stack
from infra.local.remote import CONFIG, LENT, LOCAL, VARIABLES, lend, take_back
from infra.local.settings import Ports, StackState, free_port, load_state
from tests.conftest import ROOT
from tests.project import must, run

STATE = StackState(Ports(s3=9000), {}, "THE-STACKS-KEY", "the-stacks-secret")
MINE = """\
# what I have set myself
[cache]
    dir = /big/disk    # there is room
['remote "other"']
    url = s3://elsewhere/data
    access_key_id = mine
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    (tmp_path / ".dvc").mkdir()
    shutil.copy(ROOT / CONFIG, tmp_path / CONFIG)
    return tmp_path


def _lent(root: Path) -> dict[str, str]:
    """As DVC reads them."""
    remote = Config(str(root / ".dvc"))["remote"].get("storage", {})
    return {key: remote[key] for key in LENT if key in remote}


def test_endpoint_and_keys_are_lent_and_taken_back(project: Path) -> None:
    lend(project, STATE)
    assert list(_lent(project).values()) == [
        "http://127.0.0.1:9000",
        "THE-STACKS-KEY",
        "the-stacks-secret",
    ]
    assert stat.S_IMODE((project / LOCAL).stat().st_mode) == 0o600
    assert Config(str(project / ".dvc"))["remote"]["storage"]["url"] == "s3://drdd/dvc"
    take_back(project, STATE)
    assert not (project / LOCAL).exists()
    take_back(project, STATE)
    assert not (project / LOCAL).exists()


def test_the_users_own_settings_survive_to_the_byte(project: Path) -> None:
    (project / LOCAL).write_text(MINE)
    lend(project, STATE)
    assert len(_lent(project)) == 3
    assert Config(str(project / ".dvc"))["cache"]["dir"] == "/big/disk"
    lent = (project / LOCAL).read_bytes()
    lend(project, STATE)
    assert (project / LOCAL).read_bytes() == lent
    take_back(project, STATE)
    assert (project / LOCAL).read_text() == MINE


def test_what_the_user_adds_beside_what_was_lent_stays(project: Path) -> None:
    lend(project, STATE)
    with Config(str(project / ".dvc")).edit("local") as settings:
        settings["remote"]["storage"]["jobs"] = 3
    take_back(project, STATE)
    assert (project / LOCAL).read_text() == "['remote \"storage\"']\n    jobs = 3\n"


def test_another_port_replaces_the_one_before(project: Path) -> None:
    """Also after a crash, when nothing was taken back."""
    lend(project, STATE)
    lend(project, StackState(Ports(s3=9001), {}, STATE.access_key, STATE.secret_key))
    assert _lent(project)["endpointurl"] == "http://127.0.0.1:9001"


@pytest.mark.parametrize("level", [CONFIG, LOCAL])
@pytest.mark.parametrize("key", ["endpointurl", "access_key_id", "profile", "credentialpath"])
def test_a_user_who_has_his_own_endpoint_or_keys_keeps_them(
    project: Path, level: Path, key: str
) -> None:
    with (project / level).open("a") as file:
        file.write(f"['remote \"storage\"']\n    {key} = mine\n" if level == LOCAL else "")
        file.write(f"    {key} = mine\n" if level == CONFIG else "")
    before = (project / level).read_bytes()
    lend(project, STATE)
    assert (project / level).read_bytes() == before
    assert (project / LOCAL).exists() is (level == LOCAL)


@pytest.mark.parametrize("url", ["s3://another-bucket/dvc", "s3://drdd-2/dvc", "/a/folder"])
def test_a_remote_elsewhere_gets_no_keys(project: Path, url: str) -> None:
    (project / LOCAL).write_text(f"['remote \"storage\"']\n    url = {url}\n")
    lend(project, STATE)
    assert _lent(project) == {}
    (project / LOCAL).write_text(
        f"[core]\n    remote = mine\n['remote \"mine\"']\n    url = {url}\n"
    )
    lend(project, STATE)
    assert "secret" not in (project / LOCAL).read_text()


def test_an_environment_that_leads_elsewhere_is_left_to_lead(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9000")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", STATE.access_key)
    lend(project, STATE)  # that is the stack itself
    assert len(_lent(project)) == 3
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "another")
    lend(project, STATE)
    assert _lent(project) == {}


def test_settings_that_cannot_be_read_are_said_and_kept(project: Path) -> None:
    (project / LOCAL).write_text("[core\n")
    with pytest.raises(UserError, match=r"config\.local: .*put it right"):
        lend(project, STATE)
    assert (project / LOCAL).read_text() == "[core\n"


def test_where_dvc_is_not_used_nothing_is_written(tmp_path: Path) -> None:
    lend(tmp_path, STATE)
    take_back(tmp_path, STATE)
    assert list(tmp_path.iterdir()) == []


def test_a_run_in_a_folder_of_its_own_reaches_the_same_remote(project: Path) -> None:
    must(project, "git", "init", "-q")
    must(project, "dvc", "init", "-q", "-f")
    shutil.copy(ROOT / "params.yaml", project)
    (project / CONFIG).write_text(
        "[core]\n    remote = near\n['remote \"near\"']\n    url = ../../near\n"
        "['remote \"storage\"']\n    url = s3://drdd/dvc\n"
    )
    (project / LOCAL).write_text("[core]\n    remote = storage\n")
    lend(project, STATE)
    must(project, "git", "add", "--all")
    identity = ("-c", "user.name=t", "-c", "user.email=t@localhost")
    must(project, "git", *identity, "commit", "-qm", "first")
    with workspace(project, "run", "", ["seed=5"]) as place:
        path = place.path
    ours, theirs = (Config(str(root / ".dvc")) for root in (project, path))
    assert _lent(path) == _lent(project)
    for section in ("core", "remote"):
        assert theirs[section] == ours[section]
    assert Path(theirs["remote"]["near"]["url"]) == project.parent / "near"
    assert stat.S_IMODE((path / LOCAL).stat().st_mode) == 0o600


@pytest.mark.slow
def test_plain_push_and_pull_work_while_the_stack_is_up(project: Path) -> None:
    for command in (("git", "init", "-q"), ("dvc", "init", "-q", "-f")):
        must(project, *command)
    shutil.copy(ROOT / CONFIG, project / CONFIG)
    (project / "data").write_text("worth a version")
    must(project, "dvc", "add", "data")
    try:
        stack.up(project, Ports(s3=free_port(10_000)), ("s3",))
        state = load_state(project)
        assert state is not None
        assert "1 file pushed" in must(project, "dvc", "push")
        for lost in (project / "data", project / ".dvc/cache"):
            shutil.rmtree(lost) if lost.is_dir() else lost.unlink()
        must(project, "dvc", "pull")
        assert (project / "data").read_text() == "worth a version"
        must(project, "git", "add", "--all", ":!.drdd")
        held = run(project, "git", "grep", "--cached", "-l", "-e", state.secret_key)
        assert held.stdout == ""
    finally:
        stack.down(project)
    assert not (project / LOCAL).exists()
    assert subprocess.run(["git", "check-ignore", "-q", LOCAL], cwd=ROOT).returncode == 0
