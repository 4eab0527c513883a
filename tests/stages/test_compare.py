"""compare: the pictures that lost most against the champion, by both models; or why there are none."""

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from ray.exceptions import RayActorError

from drdd.data.pairs import HOLDOUT, Pair, write_pairs
from drdd.data.shards import table_of, writing
from drdd.errors import UserError
from drdd.evaluation.side_by_side import Comparison, read_comparison
from drdd.files import write_json
from drdd.gates.judgement import Judgement, TaskResult
from drdd.inference.engine import Restorer
from drdd.inference.options import Options
from drdd.metrics.fidelity import psnr_rgb
from drdd.params import Params, validate
from drdd.pictures.pixels import Pixels
from drdd.progress import Reporter
from drdd.registry.registry import Registry
from drdd.stages import compare as stage
from drdd.stages.compare import SHOWN, compare
from drdd.stages.paths import CANDIDATE, COMPARISON, IMAGES, MEMBERS, REFERENCES, SETS
from drdd.storage.objects import Store
from tests.base.packed import candidate
from tests.corpora import clean_corpus, picture, scene, task_pairs
from tests.project import tiny_params, write_params

TASKS = ("haze", "noise")
PICTURES = 5
PROTOCOL = {"pixels": "uint8", "rgb": "mean", "psnr_cap_db": 100.0, "crop_border": 0}


@pytest.fixture
def params(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> Params:
    """As evaluate leaves a workspace, as far as compare reads it. Models restore in this process."""
    write_params(workspace, tiny_params())
    clean = clean_corpus("nature", {f"{n}.png": scene(n, 48, 64) for n in range(PICTURES)})
    rows = []
    for task in TASKS:
        held = [Pair(p.corpus, p.name, p.target, split=HOLDOUT) for p in clean]
        inputs = {pair: _degraded(task, pair.image) for pair in held}
        members = task_pairs(task, inputs)
        rows += [_row(task, pair, gain=1.0 + n) for n, pair in enumerate(members)]
        made = picture(scene(99, 48, 64))  # what the reference makes of every input; noise has none
        with writing(REFERENCES / task) as writer:
            writer.write(table_of([made]))
        referred = [replace(pair, target=made.id) for pair in members if task == "haze"]
        write_pairs(REFERENCES / task / MEMBERS, referred)
    IMAGES.parent.mkdir(parents=True)
    pd.DataFrame(rows).to_parquet(IMAGES)
    write_json(SETS, {"protocol": PROTOCOL})
    params = validate(tiny_params())
    _model(CANDIDATE, params, seed=1)
    monkeypatch.setattr(stage, "ray_cluster", lambda cpus: nullcontext())
    monkeypatch.setattr(stage, "candidate", _in_process)
    return params


def _row(task: str, pair: Pair, gain: float) -> dict[str, Any]:
    row = {"task": task, "corpus": pair.corpus, "image": pair.image, "variant": pair.variant}
    row |= {"input_id": pair.input, "target_id": pair.target}
    return row | {"input_psnr_rgb": 10.0, "output_psnr_rgb": 10.0 + gain}


def _model(
    folder: Path, params: Params, seed: int, tasks: tuple[str, ...] = TASKS, scale: int = 1
) -> Path:
    candidate(folder, params, seed)
    config = json.loads((folder / "config.json").read_text())
    (use,) = config["tasks"].values()
    uses = dict.fromkeys(tasks, use | {"scale": scale})
    write_json(folder / "config.json", config | {"tasks": uses})
    return folder


@contextmanager
def _in_process(folder: Path, *_: object) -> Iterator[Any]:
    """In place of a replica of Ray Serve, which tests/serving/test_app.py holds against the engine."""
    restorer = Restorer.from_folder(folder)

    def remote(pictures: list[Pixels], options: Options) -> Any:
        return SimpleNamespace(result=lambda: restorer.restore_batch(pictures, options))

    yield SimpleNamespace(restore_batch=SimpleNamespace(remote=remote))


def _champion(
    params: Params, folder: Path, scores: pd.DataFrame | None = None, **files: bytes
) -> str:
    """Publish a champion. scores: of its held-out pictures; files: in place of the folder's."""
    content = {path.name: path.read_bytes() for path in folder.iterdir()}
    content |= {name.replace("_", "."): value for name, value in files.items()}
    about = {}
    if scores is not None:
        scores.to_parquet("scores.parquet")
        content["images.parquet"] = Path("scores.parquet").read_bytes()
        results = {task: _result() for task in scores["task"].unique()}
        about["metrics"] = Judgement(protocol=PROTOCOL, tasks=results, passed=True).content()
    registry = Registry.open(params.publish.registry)
    version = registry.publish(content, about)
    registry.aliases.move("champion", version.id)
    return version.id


def _published(params: Params, folder: Path) -> str:
    """A champion with its true scores, which the candidate exceeds by 1 dB."""
    return _champion(params, folder, _scores(folder, {}))


def _result() -> TaskResult:
    return TaskResult(images=PICTURES, input={}, output={}, gain={})


def _compare(params: Params) -> Comparison:
    compare(params, Reporter("compare"))
    return read_comparison(COMPARISON)


def _scores(champion: Path, losses: Mapping[tuple[str, str], float]) -> pd.DataFrame:
    """The true scores of a champion. The candidate's become those less losses, in dB by task and image."""
    scores, restorer = pd.read_parquet(IMAGES), Restorer.from_folder(champion)
    names = list(zip(scores["task"], scores["image"], strict=True))
    true = [psnr_rgb(restorer.restore(_degraded(*n)).output, _target(n[1])) for n in names]
    lost = [losses.get(name, -1.0) for name in names]
    scores.assign(output_psnr_rgb=np.subtract(true, lost)).to_parquet(IMAGES)
    return scores.assign(output_psnr_rgb=true)


def _degraded(task: str, image: str) -> Pixels:
    return scene(100 * TASKS.index(task) + 10 + _number(image), 48, 64)


def _target(image: str) -> Pixels:
    return scene(_number(image), 48, 64)


def _number(image: str) -> int:
    return int(image.removeprefix("nature/").removesuffix(".png"))


def test_a_first_version_stands_beside_nothing(
    params: Params, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stage, "ray_cluster", _refuse)
    assert _compare(params) == Comparison(None)


def _refuse(*_: object) -> None:
    raise AssertionError("nothing is to be restored")


def test_the_pictures_that_lost_most_are_restored_by_both(params: Params) -> None:
    lost = {("haze", f"nature/{n}.png"): loss for n, loss in ((4, 3.0), (1, 2.0), (3, 1.0))}
    lost |= {("noise", f"nature/{n}.png"): loss for n, loss in ((0, 2.0), (2, 1.0), (4, 0.0))}
    champion = _model(Path("champion"), params, seed=2)
    version = _champion(params, champion, _scores(champion, lost))
    found = _compare(params)
    assert (found.champion, found.notes) == (version, ())
    assert {(one.task, one.image) for one in found.pictures} == lost.keys()
    changes = [one.change for one in found.pictures]
    assert changes == sorted(changes)
    models = {
        "champion": Restorer.from_folder(champion),
        "candidate": Restorer.from_folder(CANDIDATE),
    }
    for one in found.pictures:
        degraded, target = _degraded(one.task, one.image), _target(one.image)
        assert one.held_out
        assert (one.reference is not None and _near(one.reference, scene(99, 48, 64))) == (
            one.task == "haze"
        )
        assert _near(one.input, degraded)
        assert _near(one.target, target)
        outputs = {name: model.restore(degraded).output for name, model in models.items()}
        for name, output in outputs.items():
            assert getattr(one, f"{name}_psnr") == pytest.approx(psnr_rgb(output, target))
            (other,) = (outputs[unlike] for unlike in outputs if unlike != name)
            assert _away(getattr(one, name), output) < _away(getattr(one, name), other)


def _near(saved: Pixels, pixels: Pixels) -> bool:
    """Up to JPEG."""
    return _away(saved, pixels) < 6


def _away(saved: Pixels, pixels: Pixels) -> float:
    return float(np.abs(saved.astype(float) - pixels).mean())


def test_tasks_that_the_champion_has_not_learned_are_said(params: Params) -> None:
    _published(params, _model(Path("champion"), params, 2, ("haze", "snow")))
    found = _compare(params)
    assert found.notes == ("noise: no pictures, as the champion has not learned this task",)
    assert [one.task for one in found.pictures] == ["haze"] * SHOWN


def test_with_no_common_task_nothing_is_restored(
    params: Params, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stage, "ray_cluster", _refuse)
    _published(params, _model(Path("champion"), params, 2, ("snow",)))
    found = _compare(params)
    assert found.pictures == ()
    assert [note.split(":")[0] for note in found.notes] == list(TASKS)


@pytest.mark.parametrize("scores", [False, True])
def test_pictures_that_the_champion_was_not_evaluated_on(params: Params, scores: bool) -> None:
    """Then those that gained least over the input are shown, and whether it knew them is open."""
    others = pd.read_parquet(IMAGES).assign(input_id="another") if scores else None
    _champion(params, _model(Path("champion"), params, seed=2), others)
    found = _compare(params)
    why = "held-out pictures changed, not compared" if scores else "not evaluated, not compared"
    assert found.notes == tuple(
        f"{task}: {why}; shown are the pictures that gained least over the input" for task in TASKS
    )
    assert {(one.task, one.image) for one in found.pictures} == {
        (task, f"nature/{n}.png") for task in TASKS for n in range(SHOWN)
    }
    assert not any(one.held_out for one in found.pictures)


def _cut(content: bytes) -> bytes:
    return content[: len(content) // 2]


def _of_another_method(content: bytes) -> bytes:
    config = json.loads(content)
    config["sampling"]["method"] = "gone"
    return json.dumps(config).encode()


@pytest.mark.parametrize(
    ("name", "change", "said"),
    [
        ("model.safetensors", _cut, "damaged"),
        ("config.json", lambda _: b'{"format": "drdd/0"}', "format 'drdd/0'"),
        ("config.json", _of_another_method, "so this version cannot restore with it"),
    ],
)
def test_a_champion_that_does_not_load_any_more_is_said(
    params: Params,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    change: Callable[[bytes], bytes],
    said: str,
) -> None:
    monkeypatch.setattr(stage, "ray_cluster", _refuse)
    folder = _model(Path("champion"), params, seed=2)
    (folder / name).write_bytes(change((folder / name).read_bytes()))
    version = _champion(params, folder, pd.read_parquet(IMAGES))
    found = _compare(params)
    assert (found.champion, found.pictures) == (version, ())
    (note,) = found.notes
    assert note.startswith("no pictures beside the champion's, as its model does not restore")
    assert said in note


def test_a_champion_whose_files_are_lost_is_said(params: Params) -> None:
    version = _published(params, _model(Path("champion"), params, seed=2))
    Store(params.publish.registry).delete(f"versions/{version}/model.safetensors")
    (note,) = _compare(params).notes
    assert "model.safetensors" in note


def test_a_champion_that_dies_as_it_restores_is_said(
    params: Params, monkeypatch: pytest.MonkeyPatch
) -> None:
    _published(params, _model(Path("champion"), params, seed=2))

    @contextmanager
    def dies(folder: Path, *_: object) -> Iterator[Any]:
        assert folder != CANDIDATE

        def remote(*_: object) -> Any:
            raise RayActorError(error_msg="out of memory")

        yield SimpleNamespace(restore_batch=SimpleNamespace(remote=remote))

    monkeypatch.setattr(stage, "candidate", dies)
    (note,) = _compare(params).notes
    assert "out of memory" in note


def test_an_enlarged_picture_stands_beside_one_of_its_size(params: Params) -> None:
    _model(CANDIDATE, params, seed=1, scale=2)
    _champion(params, _model(Path("champion"), params, seed=2, scale=2))
    pictures = _compare(params).pictures
    assert len(pictures) == 2 * SHOWN
    for one in pictures:
        sizes = {x.shape for x in (one.input, one.champion, one.candidate, one.target)}
        assert sizes == {(96, 128, 3)}


def test_pictures_of_another_size_are_not_shown(params: Params) -> None:
    """As where a task has become one whose output is larger."""
    _model(CANDIDATE, params, seed=1, scale=2)
    _champion(params, _model(Path("champion"), params, seed=2))
    found = _compare(params)
    assert found.pictures == ()
    said = "no pictures, as the champion's are of 64 x 48 pixels and the candidate's of 128 x 96"
    assert {f"{task}: {said}" for task in TASKS} <= set(found.notes)


def test_a_champion_that_restores_otherwise_than_when_it_was_evaluated_is_said(
    params: Params,
) -> None:
    folder = _model(Path("champion"), params, seed=2)
    scores = _scores(folder, {("noise", "nature/2.png"): 50.0})
    worse = (scores["task"] == "noise") & (scores["image"] == "nature/2.png")
    true = float(scores["output_psnr_rgb"][worse].iloc[0])
    scores.loc[worse, "output_psnr_rgb"] += 0.3
    _champion(params, folder, scores)
    assert _compare(params).notes == (
        f"noise, nature/2.png: the champion has {true:.2f} dB here and had {true + 0.3:.2f} when it was "
        "evaluated, by other code or on another machine; the table has the latter",
    )


def test_a_candidate_that_does_not_load_is_an_error(params: Params) -> None:
    _published(params, _model(Path("champion"), params, seed=2))
    (CANDIDATE / "model.safetensors").write_bytes(b"cut")
    with pytest.raises(UserError, match=r"models/candidate/.*damaged"):
        _compare(params)


def test_the_border_that_metrics_leave_out_is_left_out_here_too(params: Params) -> None:
    _published(params, _model(Path("champion"), params, seed=2))
    metrics = params.metrics.model_copy(update={"crop_border": 8})
    found = _compare(params.model_copy(update={"metrics": metrics}))
    restorer, one = Restorer.from_folder(CANDIDATE), found.pictures[0]
    output = restorer.restore(_degraded(one.task, one.image)).output
    inner = psnr_rgb(output[8:-8, 8:-8], _target(one.image)[8:-8, 8:-8])
    assert one.candidate_psnr == pytest.approx(inner)
