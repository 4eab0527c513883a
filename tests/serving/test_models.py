"""A model follows its alias; one that does not load, or a registry that is away, changes nothing."""

import json
import threading
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from drdd.errors import TransientError, UserError
from drdd.inference.engine import Restorer
from drdd.registry.registry import Registry
from drdd.serving.models import Models, load_checked
from drdd.serving.published import FromFolder, FromRegistry
from drdd.serving.service import UnknownModelError
from tests.inference.test_engine import make_model


class Shelf:
    """Aliases that a test moves; `broken` versions do not load."""

    def __init__(self, model: Path, **aliases: str) -> None:
        self._restorer = Restorer.from_folder(model)
        self.moves = {alias: [version] for alias, version in aliases.items()}
        self.broken: set[str] = set()
        self.loads: list[str] = []
        self.away = False

    def versions(self, alias: str) -> Sequence[str]:
        if self.away:
            raise TransientError("no answer")
        return list(reversed(self.moves.get(alias, [])))

    def folder(self, version: str) -> Path:
        return Path(version)

    def load(self, folder: Path) -> Restorer:
        self.loads.append(folder.name)
        if folder.name in self.broken:
            raise UserError("damaged")
        return self._restorer

    def models(self, *aliases: str, again_s: float = 600.0) -> Models:
        return Models(aliases or ("champion",), self, self.load, again_s)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_model(tmp_path_factory.mktemp("model"))


def serving(models: Models) -> dict[str, tuple[str, bool]]:
    """Alias -> version, whether there is a problem."""
    return {one.alias: (one.version, one.problem is not None) for one in models.served()}


def test_an_alias_that_moves_is_followed_and_what_it_served_is_kept_by_who_has_it(
    model: Path,
) -> None:
    shelf = Shelf(model, champion="one")
    models = shelf.models()
    assert models.ready() == "champion is being loaded"
    models.start()
    assert models.ready() is None
    held, _ = models.find(None)
    shelf.moves["champion"].append("two")
    models.follow()
    models.follow()
    assert serving(models) == {"champion": ("two", False)}
    assert held.version == "one"
    assert shelf.loads == ["one", "two"]


def test_a_version_that_does_not_load_leaves_the_old_one_and_is_not_tried_again(
    model: Path,
) -> None:
    shelf = Shelf(model, champion="one")
    models = shelf.models()
    models.start()
    shelf.broken.add("two")
    shelf.moves["champion"].append("two")
    models.follow()
    models.follow()
    assert serving(models) == {"champion": ("one", True)}
    assert models.problems() == {"champion": "version two does not load: damaged; one serves"}
    assert models.ready() is None
    assert (shelf.loads, models.failures) == (["one", "two"], 1)
    shelf.moves["champion"].append("one")
    models.follow()
    assert serving(models) == {"champion": ("one", False)}
    shelf.moves["champion"].append("three")
    models.follow()
    assert serving(models) == {"champion": ("three", False)}


def test_after_a_while_it_is_tried_again(model: Path) -> None:
    shelf = Shelf(model, champion="one")
    models = shelf.models(again_s=0.0)
    models.start()
    shelf.broken.add("two")
    shelf.moves["champion"].append("two")
    models.follow()
    shelf.broken.clear()
    models.follow()
    assert serving(models) == {"champion": ("two", False)}


def test_one_that_starts_beside_a_broken_version_serves_what_was_there_before(model: Path) -> None:
    shelf = Shelf(model, champion="one")
    shelf.moves["champion"] += ["two", "three"]
    shelf.broken |= {"two", "three"}
    models = shelf.models()
    models.start()
    models.follow()
    assert serving(models) == {"champion": ("one", True)}
    assert models.problems() == {"champion": "version three does not load: damaged; one serves"}
    assert shelf.loads == ["three", "two", "one"]


def test_a_registry_that_is_away_changes_nothing(model: Path) -> None:
    shelf = Shelf(model, champion="one")
    models = shelf.models()
    models.start()
    shelf.away = True
    models.follow()
    assert serving(models) == {"champion": ("one", False)}
    with pytest.raises(TransientError):
        shelf.models().start()


def test_nothing_to_serve_is_said(model: Path) -> None:
    shelf = Shelf(model, candidate="one")
    with pytest.raises(UserError, match="champion: the registry has no alias 'champion'; nothing"):
        shelf.models().start()
    shelf.broken.add("one")
    with pytest.raises(UserError, match="candidate: version one does not load: damaged; nothing"):
        shelf.models("candidate").start()


def test_models_are_found_by_alias_and_version_and_shared(model: Path) -> None:
    shelf = Shelf(model, champion="one", candidate="two", old="one")
    models = shelf.models("champion", "candidate", "old", "absent")
    models.start()
    assert shelf.loads == ["one", "two"]
    assert [models.find(name)[1].alias for name in (None, "candidate", "two", "one", "old")] == [
        "champion",
        "candidate",
        "candidate",
        "champion",
        "old",
    ]
    with pytest.raises(UnknownModelError, match=r"'nine' .*: champion \(one\), candidate \(two\)"):
        models.find("nine")
    assert set(models.problems()) == {"absent"}
    shelf.moves["absent"] = ["two"]
    models.follow()
    assert models.find("absent")[1].version == "two"


def test_what_is_not_a_working_model_does_not_load(model: Path, tmp_path: Path) -> None:
    good = load_checked(model)
    assert list(good.model.tasks) == ["rain"]
    weights = load_file(model / "model.safetensors")
    name = max(weights)
    for folder, change in {"nan": torch.nan, "huge": 1e30}.items():
        broken = make_model(tmp_path / folder)
        save_file(weights | {name: weights[name] + change}, broken / "model.safetensors")
    with pytest.raises(UserError, match="is not finite"):
        load_checked(tmp_path / "nan")
    cut = make_model(tmp_path / "cut")
    (cut / "model.safetensors").write_bytes((model / "model.safetensors").read_bytes()[:-9])
    with pytest.raises(UserError, match="damaged"):
        load_checked(cut)


def test_from_a_registry(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    registry = Registry.open(str(tmp_path / "registry"))
    ids = []
    for seed in (0, 1):
        folder = make_model(tmp_path / str(seed), seed)
        (folder / "metrics.json").write_text(json.dumps({"passed": bool(seed)}))
        files: dict[str, Path | bytes] = {path.name: path for path in folder.iterdir()}
        ids.append(registry.publish(files, {}).id)
        registry.aliases.move("champion", ids[-1])
    source = FromRegistry(registry.uri, tmp_path / "elsewhere")
    assert source.versions("champion") == [ids[1], ids[0]]
    assert source.versions("nobody") == []
    folders: list[Path] = []
    pullers = [
        threading.Thread(target=lambda: folders.append(source.folder(ids[0]))) for _ in range(4)
    ]
    for puller in pullers:
        puller.start()
    for puller in pullers:
        puller.join()
    assert len(folders) == 4
    models = Models(["champion"], source, load_checked)
    models.start()
    (served,) = models.served()
    assert (served.version, served.metrics) == (ids[1], {"passed": True})
    registry.aliases.rollback("champion")
    models.follow()
    assert models.served()[0].metrics == {"passed": False}


def test_from_a_folder(model: Path) -> None:
    models = Models(["candidate"], FromFolder(model), load_checked)
    models.start()
    assert models.served()[0].version == model.name
    assert models.served()[0].metrics == {}
