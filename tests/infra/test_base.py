"""`python -m infra.base`: a run in a clone, which goes on, and replaces the base only if it is better."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from drdd.errors import UserError
from drdd.params import validate
from infra.base import __main__ as command
from tests.conftest import ROOT


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository with the project's params; what would take hours is recorded instead."""
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "params.yaml").write_text((ROOT / "params.yaml").read_text())
    for arguments in (["init", "-q"], ["add", "."], ["commit", "-qm", "first"]):
        subprocess.run(["git", *arguments], cwd=folder, check=True)
    monkeypatch.chdir(folder)
    return folder


class _Recorded:
    """fetch, dvc, pack and write_card, with the PSNR that the next candidate is to have."""

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.psnr = 20.0
        self.before = 20.0  # of the base before, on the same pictures
        self.calls: list[str] = []
        self.cards: list[tuple[int, str]] = []
        self._root, self._run = root, command._run
        monkeypatch.setattr(command, "fetch", self._fetch)
        monkeypatch.setattr(command, "_run", self._ran)
        monkeypatch.setattr(command, "pack", lambda candidate, model: self.calls.append("pack"))
        monkeypatch.setattr(command, "write_card", self._card)

    def _fetch(self, folder: Path, photographs: object, say: object) -> list[Any]:
        self.calls.append("fetch")
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "a photograph").touch()
        return []

    def _ran(self, folder: Path, *arguments: str) -> None:
        self.calls.append(" ".join(arguments[:2]))
        if arguments[0] == "git":
            self._run(folder, *arguments)
            return
        if self.psnr < 0:
            raise UserError("interrupted")
        if "infra.base.before" in arguments:
            (folder / arguments[-1]).write_text(json.dumps({"noise": self.before}))
            return
        results = folder / "results"
        results.mkdir(exist_ok=True)
        found = {"tasks": {"noise": {"output": {"psnr_rgb": self.psnr}}}}
        (results / "metrics.json").write_text(json.dumps(found))

    def _card(self, base: Path, work: Path, runs: int, start: str) -> None:
        self.cards.append((runs, start))
        base.mkdir(parents=True, exist_ok=True)
        figures = {"runs": runs, "psnr": {"noise": self.psnr}}
        (base / command.FIGURES).write_text(json.dumps(figures))


@pytest.fixture
def recorded(root: Path, monkeypatch: pytest.MonkeyPatch) -> _Recorded:
    return _Recorded(root, monkeypatch)


def _params(root: Path) -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load((root / "build/base/params.yaml").read_text())
    return content


def test_the_first_run_begins_from_random_weights(root: Path, recorded: _Recorded) -> None:
    command.train_base(images=9000, scratch=False)
    assert recorded.calls == ["git clone", "fetch", "dvc repro", "pack"]
    assert recorded.cards == [(1, "scratch")]
    params = validate(_params(root))
    assert (params.seed, params.train.noise.images, params.train.residual.images) == (0, 1125, 9000)
    assert params.train.noise.start == params.train.residual.start == "scratch"
    assert len(params.tasks) > 15


def test_the_next_goes_on_from_the_base_with_other_draws(root: Path, recorded: _Recorded) -> None:
    command.train_base(images=9000, scratch=False)
    recorded.psnr = 21.0
    command.train_base(images=9000, scratch=False)
    assert recorded.cards == [(1, "scratch"), (2, "base")]
    assert (_params(root)["seed"], _params(root)["train"]["residual"]["start"]) == (1, "base")
    assert (root / "build/base/data/base/a photograph").exists()  # not fetched anew
    command.train_base(images=9000, scratch=True)
    assert _params(root)["seed"] == 0


def test_a_worse_one_does_not_replace_it(
    root: Path, recorded: _Recorded, capsys: pytest.CaptureFixture[str]
) -> None:
    command.train_base(images=9000, scratch=False)
    recorded.psnr = 19.5
    command.train_base(images=9000, scratch=False)
    assert recorded.calls.count("pack") == 1
    assert "the base stays: the new one has -0.50 dB" in capsys.readouterr().err


def test_an_interrupted_run_goes_on_in_its_own_clone(root: Path, recorded: _Recorded) -> None:
    recorded.psnr = -1.0
    with pytest.raises(UserError, match="interrupted"):
        command.train_base(images=9000, scratch=False)
    recorded.psnr = 20.0
    for images, scratch in ((1000, False), (9000, True)):
        with pytest.raises(
            UserError, match=r"unfinished run, which was begun with --images 9000; "
        ):
            command.train_base(images, scratch)
    command.train_base(images=9000, scratch=False)
    assert recorded.calls.count("git clone") == 1
    assert _params(root)["train"]["residual"]["images"] == 9000


def test_a_command_that_fails_is_named_with_what_to_do(root: Path) -> None:
    with pytest.raises(UserError, match=r"`false` in .* ended with 1; mend what it says"):
        command._run(root, "false")
