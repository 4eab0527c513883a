"""A worker gives what the engine gives, keeps what is done, by hash, and says what cannot be done."""

import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from drdd.batch.ledger import FILE, Record, RestoreLedger
from drdd.batch.plan import plan
from drdd.batch.worker import BatchRestorer, Recipe, weights_of
from drdd.errors import UserError
from drdd.inference.engine import Restorer
from drdd.inference.options import Options
from drdd.pictures.files import encoded, png
from drdd.pictures.uncertainty import uncertainty_map
from drdd.storage.objects import Store
from tests.corpora import scene
from tests.inference.test_engine import make_model

OPTIONS = Options(seed=3)


@pytest.fixture
def recipe(workspace: Path) -> Recipe:
    folder = make_model(workspace / "model").absolute()
    for number in range(5):
        path = workspace / "in" / f"{number % 2}" / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(png(scene(number, 40 + 30 * (number % 2), 56)))
    return Recipe(str(folder), weights_of(folder), OPTIONS, ".png")


def _run(recipe: Recipe, known: dict[str, Record] | None = None, batch: int = 2) -> list[Record]:
    files = plan(["in"], "out", recipe.suffix).files
    return list(BatchRestorer(recipe, "out", known or {}, batch, 1).records(files))


def test_outputs_are_the_engine_s_and_mirror_the_tree(recipe: Recipe) -> None:
    records = _run(recipe)
    assert sorted(record.output for record in records) == [
        "0/0.png",
        "0/2.png",
        "0/4.png",
        "1/1.png",
        "1/3.png",
    ]
    restorer = Restorer.from_folder(Path(recipe.model))
    for record in records:
        assert record.problem == ""
        expected = restorer.restore(np.asarray(Image.open(Path("in") / record.input)), OPTIONS)
        found = np.asarray(Image.open(Path("out") / record.output)).astype(int)
        assert np.abs(found - expected.output).max() <= 1  # rounding depends on the batch


def test_what_is_done_is_kept_by_hash_and_all_else_is_done_again(recipe: Recipe) -> None:
    known = {record.input: record for record in _run(recipe)}
    times = {path: path.stat().st_mtime_ns for path in Path("out").rglob("*.png")}
    assert {record.input: record for record in _run(recipe, known)} == known
    assert times == {path: path.stat().st_mtime_ns for path in times}
    (Path("out") / "0/0.png").write_bytes(b"damaged")
    (Path("out") / "0/2.png").unlink()
    (Path("in") / "0/4.png").write_bytes(png(scene(9, 40, 56)))
    again = {record.input: record for record in _run(recipe, known)}
    changed = {path for path in times if path.stat().st_mtime_ns != times[path]}
    assert changed == {Path("out") / name for name in ("0/0.png", "0/2.png", "0/4.png")}
    assert {name for name in known if again[name] != known[name]} == {"0/4.png"}
    other = replace(recipe, options=Options(seed=4))
    assert all(record.recipe == other.digest for record in _run(other, again))


def test_bad_files_are_said_and_stop_nothing(recipe: Recipe) -> None:
    Path("in/broken.png").write_bytes(Path("in/0/0.png").read_bytes()[:200])
    Path("in/words.jpg").write_bytes(b"words")
    records = {record.input: record for record in _run(recipe)}
    assert "damaged or cut short" in records["broken.png"].problem
    assert records["words.jpg"].problem.startswith("no image: none of PNG, ")
    assert sum(not record.problem for record in records.values()) == 5
    assert not Path("out/broken.png").exists()


def test_a_picture_too_large_for_its_format_is_said(recipe: Recipe) -> None:
    Image.new("RGB", (16_400, 1)).save("in/long.png")
    records = {record.input: record for record in _run(replace(recipe, suffix=".webp"))}
    assert "cannot be written as WEBP" in records["long.png"].problem
    assert Image.open("out/0/0.webp").size == (56, 40)
    assert Image.open(io.BytesIO(encoded(scene(0), "JPEG"))).format == "JPEG"


def test_a_ledger_is_read_back_and_a_torn_line_is_passed_over(workspace: Path) -> None:
    store = Store("out")
    ledger = RestoreLedger(store)
    one = Record("a\u00e9.png", "1", "r", "m", "a.png", "2")
    ledger.add(one)
    ledger.add(replace(one, input="b.png", problem="no image"))
    ledger.write()
    path = Path("out") / FILE
    path.write_bytes(path.read_bytes() + b'{"input": "c.png", "sha')
    assert RestoreLedger(store).records == ledger.records
    assert RestoreLedger(Store("elsewhere")).records == {}


def test_maps_of_uncertainty_are_written_and_kept_by_hash(recipe: Recipe) -> None:
    recipe = replace(recipe, options=Options(samples=2), suffix=".jpg", maps="maps")
    known = {record.input: record for record in _run(recipe)}
    restorer = Restorer.from_folder(Path(recipe.model))
    maps = sorted(Path("maps").rglob("*.*"))
    assert [path.as_posix() for path in maps] == [f"maps/{n % 2}/{n}.png" for n in (0, 2, 4, 1, 3)]
    for record in known.values():
        pixels = np.asarray(Image.open(Path("in") / record.input))
        deviation = restorer.restore(pixels, Options(samples=2)).deviation
        assert deviation is not None
        found = np.asarray(Image.open(Path("maps") / record.output.replace(".jpg", ".png")))
        assert np.abs(found.astype(int) - uncertainty_map(deviation)).max() <= 1
    times = {path: path.stat().st_mtime_ns for path in maps}
    assert {record.input: record for record in _run(recipe, known)} == known
    assert times == {path: path.stat().st_mtime_ns for path in maps}
    maps[0].unlink()
    maps[1].write_bytes(b"damaged")
    assert {record.input: record for record in _run(recipe, known)} == known
    changed = [path for path in maps if path.stat().st_mtime_ns != times[path]]
    assert changed == maps[:2]


def test_maps_are_asked_for_later_and_elsewhere(recipe: Recipe) -> None:
    recipe = replace(recipe, options=Options(samples=2))
    plain = {record.input: record for record in _run(recipe)}
    assert not any(record.map_sha256 for record in plain.values())
    known = {record.input: record for record in _run(replace(recipe, maps="maps"), plain)}
    assert all(record.map_sha256 for record in known.values())
    _run(replace(recipe, maps="others"), known)
    assert len(list(Path("others").rglob("*.png"))) == len(known) == 5
    # Whoever does not ask for maps keeps what is there.
    assert {record.input: record for record in _run(recipe, known)} == known


def test_other_samples_are_another_recipe(recipe: Recipe) -> None:
    several = [replace(recipe, options=Options(samples=n)).digest for n in (1, 2, 3)]
    assert len(set(several)) == 3


@pytest.mark.parametrize("maps", ["out", "out/"])
def test_a_map_never_replaces_an_output(recipe: Recipe, maps: str) -> None:
    with pytest.raises(UserError, match=r"out/0/0\.png would be an output and a map"):
        plan(["in"], "out", ".png", maps)
    assert len(plan(["in"], "out", ".jpg", maps).files) == 5


def test_maps_among_the_inputs_are_no_inputs(recipe: Recipe) -> None:
    Path("in/maps").mkdir()
    Path("in/maps/0.png").write_bytes(png(scene(0, 24, 32)))
    assert len(plan(["in"], "out", ".png", "in/maps").files) == 5
    with pytest.raises(
        UserError, match=r"no picture to restore: all that are there are below .*in, where outputs"
    ):
        plan(["in"], "out", ".png", "in")
    Path("maps/0").mkdir(parents=True)
    Path("maps/0/0.png").hardlink_to("in/0/0.png")
    with pytest.raises(UserError, match=r"maps/0/0\.png would replace an input"):
        plan(["in"], "out", ".jpg", "maps")
