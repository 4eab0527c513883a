"""`drdd models ...`, in process, on a folder and on a real S3 server."""

import json
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from drdd.checkpoints.folder import load_model
from drdd.errors import UserError
from drdd.registry.manifest import Version
from drdd.registry.pulling import check
from drdd.registry.registry import Registry
from drdd.shown import short
from drdd.storage.objects import Store
from tests.checkpoints.test_official import official_checkpoint
from tests.registry.conftest import run

METRICS = {"mean": {"gain": {"psnr_rgb": 4.256}}, "passed": True}


@pytest.fixture
def version(registry: Registry, workspace: Path) -> Version:
    published = registry.publish({"model.safetensors": bytes(2_000_000)}, {"metrics": METRICS})
    registry.aliases.move("champion", published.id)
    return published


def test_list_shows_the_gain_and_the_gate(registry: Registry, version: Version) -> None:
    unmeasured = registry.publish({"model.safetensors": b""}, {})
    output = run("list", "--registry", registry.uri)
    row = next(line for line in output.splitlines() if short(version.id) in line)
    for shown in ("champion", version.created[:10], "+4.26 dB", "passed", "2.0 MB"):
        assert shown in row
    assert short(unmeasured.id) in output
    assert "signed by" not in output
    signed = registry.publish({"a": b""}, {}, Ed25519PrivateKey.generate())
    assert signed.signature is not None
    output = run("list", "--registry", registry.uri)
    row = next(line for line in output.splitlines() if short(signed.id) in line)
    assert row.split()[-1] == signed.signature.key[:8]


def test_list_shows_a_gate_that_was_missed(registry: Registry) -> None:
    about = {"metrics": METRICS | {"passed": False}}
    fallen = registry.publish({"model.safetensors": b""}, about)
    output = run("list", "--registry", registry.uri)
    (row,) = [line for line in output.splitlines() if short(fallen.id) in line]
    assert "missed" in row


def test_list_for_programs_is_json(registry: Registry, version: Version) -> None:
    (listed,) = json.loads(run("list", "--json", "--registry", registry.uri))
    assert listed["id"] == version.id
    assert listed["aliases"] == ["champion"]
    assert listed["about"]["metrics"] == METRICS
    assert listed["files"]["model.safetensors"]["size"] == 2_000_000


def test_pull_and_verify(registry: Registry, version: Version) -> None:
    assert "every hash verified" in run("pull", "champion", "here", "--registry", registry.uri)
    assert check(Path("here"), version) == []
    run("pull", version.id[:6], "--registry", registry.uri)
    assert check(Path(version.id), version) == []
    assert "every hash verified" in run("verify", "champion", "--registry", registry.uri)
    Store(registry.uri).put(f"versions/{version.id}/model.safetensors", b"other")
    for command in ("verify", "pull"):
        with pytest.raises(UserError, match=r"model\.safetensors"):
            run(command, "champion", *(["new"] * (command == "pull")), "--registry", registry.uri)
    assert not Path("new").exists()


def test_an_official_checkpoint_becomes_a_model_folder(tmp_path: Path) -> None:
    file, folder = official_checkpoint(tmp_path / "theirs.pt", "small"), tmp_path / "ours"
    output = run("import", str(file), str(folder), "--head-channels", "32")
    for shown in ("residual", "Rddm", "218", "noise", "Adm", "216", "every tensor used"):
        assert shown in output
    assert load_model(folder).sampling.conditioning == "input"
    with pytest.raises(UserError, match="exists already"):
        run("import", str(file), str(folder))
    (tmp_path / "cut.pt").write_bytes(file.read_bytes()[:5000])
    with pytest.raises(UserError, match="damaged, cut short"):
        run("import", str(tmp_path / "cut.pt"), str(tmp_path / "new"))
    assert not (tmp_path / "new").exists()


ABOUT = {
    "metrics": {
        "tasks": {
            "rain": {
                "images": 4,
                "input": {"psnr_rgb": 20.0},
                "output": {"psnr_rgb": 24.25},
                "gain": {"psnr_rgb": 4.25},
                "intervals": {"gain": {"psnr_rgb": [3.5, 5.0]}},
            }
        },
        "gates": [
            {
                "gate": "min_psnr_gain",
                "task": "rain",
                "needed": 4.0,
                "passed": True,
                "said": "rain gained [4.25] dB",
            }
        ],
        "passed": True,
    },
    "params": {"seed": 0},
    "data": {"data/pairs/rain": "0a1b.dir"},
    "libraries": {"torch": "2.13.0"},
    "git": "abc-dirty",
    "start": {"noise": "base", "residual": "scratch"},
}


def test_show_says_all_of_a_version(registry: Registry, version: Version) -> None:
    shown = registry.publish({"config.json": b"{}", "README.md": b"# Card"}, ABOUT)
    registry.aliases.move("champion", shown.id, "better at [rain]")
    output = run("show", "champion", "--registry", registry.uri)
    parts = [
        *("rain", "20.00", "24.25", "+4.25", "+3.50 to +5.00", "rain gained [4.25] dB", "passed"),
        *(
            "noise: base, residual: scratch",
            "abc-dirty",
            "torch",
            "2.13.0",
            "0a1b.dir",
            "not signed",
        ),
        *("better at [rain]", short(version.id), short(shown.id), "README.md", "its card"),
    ]
    for part in parts:
        assert part in output
    said = json.loads(run("show", shown.id, "--json", "--registry", registry.uri))
    assert said["about"] == ABOUT
    assert [move["version"] for move in said["aliases"][0]["history"]] == [version.id, shown.id]
    before = run("show", version.id, "--registry", registry.uri)
    assert "better at [rain]" in before  # its alias has moved on


def test_diff_shows_what_differs_and_only_that(registry: Registry, version: Version) -> None:
    changed = registry.publish({"model.safetensors": b"1"}, ABOUT | {"params": {"seed": 7}})
    other = registry.publish({"model.safetensors": b"2"}, ABOUT)
    output = run("diff", other.id, changed.id, "--registry", registry.uri)
    row = next(line for line in output.splitlines() if "seed" in line)
    assert row.split() == ["seed", "0", "7"]
    assert "model.safetensors" in output
    assert "libraries" not in output
    assert "no difference" in run("diff", other.id, other.id, "--registry", registry.uri)
    found = json.loads(run("diff", other.id, changed.id, "--json", "--registry", registry.uri))
    assert found["params"] == [{"key": "seed", "old": 0, "new": 7}]
    assert found["metrics"] == []


def test_promote_and_rollback(registry: Registry, version: Version) -> None:
    better = registry.publish({"model.safetensors": b""}, {})
    where = ("--registry", registry.uri)
    output = run("promote", better.id[:6], "--why", "looks better", *where)
    assert output.strip() == f"champion: {short(version.id)} → {short(better.id)}"
    moved = json.loads(run("rollback", "--json", *where))
    assert moved["version"] == version.id
    assert [move.get("why") for move in moved["history"]] == ["", "looks better", ""]
    assert "nothing → " in run("promote", "champion", "--alias", "candidate", *where)
    assert registry.aliases.all() == {"champion": version.id, "candidate": version.id}
    with pytest.raises(UserError, match="never anything before"):
        run("rollback", *where)


def test_gc_shows_first_and_deletes_when_told(registry: Registry, version: Version) -> None:
    old = registry.publish({"model.safetensors": b"old"}, {})
    where = ("--hours", "0", "--registry", registry.uri)
    assert "nothing is left over" in run("gc", *where)
    output = run("gc", "--keep", "0", *where)
    assert f"versions/{short(old.id)}" in output
    assert "1 found; --yes deletes them" in output
    assert len(registry.versions()) == 2
    told = json.loads(run("gc", "--keep", "0", "--yes", "--json", *where))
    assert told == {"found": [f"versions/{old.id}"], "deleted": [f"versions/{old.id}"]}
    assert [kept.id for kept in registry.versions()] == [version.id]


def test_a_place_without_a_version_is_said(tmp_path: Path) -> None:
    (tmp_path / "photo.png").write_bytes(b"")
    for place in (tmp_path, tmp_path / "nowhere"):
        said = run("list", "--registry", str(place)).replace("\n", "")
        assert f"{place}: no version is published there" in said
        assert json.loads(run("list", "--json", "--registry", str(place))) == []
