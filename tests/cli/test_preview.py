"""The preview of a task: pairs as training will get them, before any stage has run."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from drdd.cli.preview import drawn, examples
from drdd.data.library import Library
from drdd.data.pairs import TRAIN, read_pairs
from drdd.drawing.contact import TILE
from drdd.drawing.sheets import GAP, cover
from drdd.errors import UserError
from drdd.params import Params, validate
from drdd.pictures.files import write_picture
from drdd.pictures.scaling import enlarged, reduced
from drdd.progress import Reporter
from drdd.sources.entry import Blob, Entry, Fetcher, Rejected
from drdd.stages.ingest import ingest
from drdd.stages.ingest_pairs import ingest_pairs
from drdd.stages.paths import CORPORA, PAIRS
from drdd.stages.photographs import photographs
from drdd.stages.prepare import prepare
from drdd.stages.split import split
from drdd.storage.versions import addresses
from tests.corpora import files_of, scene
from tests.project import tiny_params

CHAIN = [{"kind": "jpeg", "probability": 0.5}, {"kind": "gaussian_noise"}]


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the files that are read."""
    names: list[str] = []
    fetch = Fetcher.fetch

    def counted(fetcher: Fetcher, entry: Entry) -> Blob | Rejected:
        names.append(entry.name)
        return fetch(fetcher, entry)

    monkeypatch.setattr(Fetcher, "fetch", counted)
    return names


def _params(
    corpora: Mapping[str, Any], paired: Mapping[str, Any], tasks: Mapping[str, Any]
) -> Params:
    content = tiny_params()
    content |= {"photographs": {}, "corpora": dict(corpora), "paired": dict(paired)}
    content["method"] = "drdd" if corpora else "regression"  # which needs no noise stage
    content["train"]["noise"]["corpora"] = None
    return validate({**content, "tasks": dict(tasks)})


def _clean(holdout: Any = 0.0, **task: Any) -> Params:
    """Task `fix` of corpora one and two, of six pictures each."""
    for first, name in ((0, "one"), (10, "two")):
        for seed in range(first, first + 6):
            write_picture(Path(name, f"{seed}.png"), scene(seed))
    return _params(
        {name: {"source": name, "holdout": holdout} for name in ("one", "two")},
        {},
        {"fix": {"corpora": ["one", "two"], "degradation": CHAIN, **task}},
    )


def _paired(**entry: Any) -> Params:
    """Task `mend` of six pairs."""
    for seed in range(6):
        write_picture(Path("new", f"{seed}.png"), scene(seed))
        write_picture(Path("old", f"{seed}.png"), 255 - scene(seed))
    pairs = {"input": "old", "target": "new", "holdout": 0.0, **entry}
    return _params({}, {"album": pairs}, {"mend": {"paired": ["album"]}})


def _trained_on(task: str, corpora: list[str]) -> dict[str, tuple[bytes, list[bytes]]]:
    """(target, inputs in order of variants) of each training picture, as prepare left them."""
    library = Library(addresses([*(CORPORA / name for name in corpora), PAIRS / task]))
    found: dict[str, tuple[bytes, list[bytes]]] = {}
    for pair in read_pairs(PAIRS / task / "members.csv", TRAIN):
        target, input_ = (library.pixels(id_).tobytes() for id_ in (pair.target, pair.input))
        found.setdefault(pair.image, (target, []))[1].append(input_)
    return found


def _seen(params: Params, task: str) -> dict[str, tuple[bytes, list[bytes]]]:
    shown = examples(params, task, 100).examples
    return {
        one.name: (one.target.tobytes(), [pixels.tobytes() for pixels in one.inputs])
        for one in shown
    }


@pytest.mark.parametrize("holdout", [0.5, ["0.png", "11", "2"]])
def test_what_is_seen_is_what_is_trained_on(workspace: Path, holdout: Any) -> None:
    params = _clean(0.5, order="random", variants=2)
    if isinstance(holdout, list):
        sides = {"one": ["0.png", "2"], "two": ["11"]}
        corpora = {name: {"source": name, "holdout": held} for name, held in sides.items()}
        params = _params(corpora, {}, {"fix": params.tasks["fix"].model_dump()})
    before = _seen(params, "fix")
    for corpus in params.corpora:
        ingest(params, Reporter("ingest"), corpus)
    split(params, Reporter("split"))
    prepare(params, Reporter("prepare"), "fix")
    assert before == _trained_on("fix", list(params.corpora))
    assert 0 < len(before) < 12


@pytest.mark.parametrize("chain", [[], CHAIN])
def test_small_inputs_are_seen_enlarged(workspace: Path, chain: list[Any]) -> None:
    """As networks see them; without a degradation there is one input of each picture."""
    params = _clean(0.5, scale=5, degradation=chain)
    shown = {one.name: one for one in examples(params, "fix", 100).examples}
    for corpus in params.corpora:
        ingest(params, Reporter("ingest"), corpus)
    split(params, Reporter("split"))
    prepare(params, Reporter("prepare"), "fix")
    library = Library(addresses([*(CORPORA / name for name in params.corpora), PAIRS / "fix"]))
    for pair in read_pairs(PAIRS / "fix/members.csv", TRAIN):
        target, input_ = library.sides(pair)
        assert target.shape == (70, 95, 3)  # of 72 x 96 pixels
        assert np.array_equal(shown[pair.image].target, target)
        assert len(shown[pair.image].inputs) == (3 if chain else 1)
        if pair.variant < 3:
            assert np.array_equal(shown[pair.image].inputs[pair.variant], input_)


def test_pairs_of_two_sizes_are_seen_enlarged(workspace: Path) -> None:
    params = _paired()
    for seed in range(6):
        write_picture(Path("old", f"{seed}.png"), reduced(scene(seed), 2))
    paired = params.paired["album"].model_dump() | {"scale": 2}
    params = _params({}, {"album": paired}, {"mend": {"paired": ["album"], "scale": 2}})
    for one in examples(params, "mend", 100).examples:
        target = scene(int(one.name.removeprefix("album/")))
        assert np.array_equal(one.target, target)
        assert np.array_equal(one.inputs[0], enlarged(reduced(target, 2), 2))


def test_pairs_are_seen_as_they_are_trained_on(workspace: Path) -> None:
    params = _paired(holdout=["3"])
    before = _seen(params, "mend")
    ingest_pairs(params, Reporter("ingest_pairs"), "album")
    split(params, Reporter("split"))
    prepare(params, Reporter("prepare"), "mend")
    assert before == _trained_on("mend", ["album"])
    assert set(before) == {f"album/{n}" for n in (0, 1, 2, 4, 5)}


def test_no_more_is_read_than_is_shown_and_nothing_is_written(
    workspace: Path, read: list[str]
) -> None:
    params = _clean()
    before = files_of(Path())
    shown = examples(params, "fix", 3).examples
    assert [f"{one.name}" for one in shown] == [
        f"{corpus}/{name}" for corpus, name in zip(("one", "two", "one"), read, strict=True)
    ]
    assert files_of(Path()) == before


def test_another_file_takes_no_place_but_its_own(workspace: Path) -> None:
    params = _clean()
    before = [one.name for one in examples(params, "fix", 100).examples]
    write_picture(Path("one/new.png"), scene(99))
    after = [one.name for one in examples(params, "fix", 100).examples]
    for corpus in ("one/", "two/"):
        assert [name for name in after if name.startswith(corpus) and name != "one/new.png"] == [
            name for name in before if name.startswith(corpus)
        ]


def test_held_out_corpora_are_not_read(workspace: Path, read: list[str]) -> None:
    for holdout in (1.0, [f"{n}" for n in range(6)]):
        params = _clean(holdout)
        corpora = {"one": params.corpora["one"].model_dump()}
        task = {"corpora": ["one"], "degradation": CHAIN}
        with pytest.raises(UserError, match="nothing of one would be trained on; lower"):
            examples(_params(corpora, {}, {"fix": task}), "fix", 4)
    assert read == []


def test_a_file_that_would_be_set_aside_is_passed_over(workspace: Path) -> None:
    params = _paired()
    Path("old/1.png").write_bytes(Path("old/1.png").read_bytes()[:200])
    Path("new/4.png").write_text("words")
    found = examples(params, "mend", 100)
    assert {one.name for one in found.examples} == {f"album/{n}" for n in (0, 2, 3, 5)}
    assert {one.name: one.reason.partition(":")[0] for one in found.rejected} == {
        "input/1.png": "damaged or cut short",
        "target/4.png": "no image",
    }
    for path in Path("old").iterdir():
        path.write_text("words")
    with pytest.raises(UserError, match=r"nothing of album would be trained on \(.*no image"):
        examples(params, "mend", 4)


def test_aligned_sides_of_different_size_are_refused_as_ingest_does(workspace: Path) -> None:
    params = _paired()
    write_picture(Path("old/2.png"), scene(2, 80, 96))
    said = r"paired\.album: .*pair 2: input/2\.png is 96 x 80 and target/2\.png is 96 x 72"
    with pytest.raises(UserError, match=f"(?s){said}"):
        examples(params, "mend", 100)
    free = _paired(aligned=False)
    write_picture(Path("old/2.png"), scene(2, 80, 96))
    assert len(examples(free, "mend", 100).examples) == 6


def test_bundled_photographs_need_not_be_copied_first(workspace: Path) -> None:
    params = validate(tiny_params())
    before = _seen(params, "haze")
    assert list(workspace.iterdir()) == []
    photographs(params, Reporter("photographs"))
    ingest(params, Reporter("ingest"), "nature")
    split(params, Reporter("split"))
    prepare(params, Reporter("prepare"), "haze")
    assert before == _trained_on("haze", ["nature"])
    assert before.keys() == {"nature/astronaut.png", "nature/coffee.png"}


def test_an_unknown_task_is_refused_with_the_nearest_name(workspace: Path) -> None:
    with pytest.raises(UserError, match=r"no task 'haz', did you mean 'haze'.*noise, haze"):
        examples(validate(tiny_params()), "haz", 4)


def test_a_row_is_target_and_input_whole_then_the_middle_of_each(workspace: Path) -> None:
    shown = examples(_clean(variants=2), "fix", 2).examples
    sheet = drawn(shown)
    assert np.array_equal(sheet, drawn(shown))
    assert sheet.shape[1] == GAP + 5 * (TILE[0] + GAP)
    details = [shown[0].target, *shown[0].inputs]
    for column, pixels in enumerate(details, 2):
        left = GAP + column * (TILE[0] + GAP)
        tile = sheet[GAP : GAP + TILE[1], left : left + TILE[0]]
        assert np.array_equal(tile, np.asarray(cover(pixels, TILE)))
    whole = sheet[GAP : GAP + TILE[1], GAP : GAP + TILE[0]]
    inside = whole[(TILE[1] - 72) // 2 :][:72, (TILE[0] - 96) // 2 :][:, :96]
    assert np.array_equal(inside, shown[0].target)
