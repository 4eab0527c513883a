"""Presets are valid params, and find the public benchmarks as they lie on disk, rightly paired."""

import io
import shutil
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image
from typer.testing import CliRunner, Result

from drdd.cli.data import checked
from drdd.cli.main import app
from drdd.errors import UserError
from drdd.params import Corpus, Paired, Params, load, read
from drdd.params.presets import WHOLE, applied, describe, names
from drdd.sources.entry import Blob, Entry, Fetcher
from drdd.sources.listing import entries
from drdd.sources.matching import match
from drdd.sources.packages import package_file
from tests.conftest import ROOT, Content
from tests.layouts import LAYOUTS, MIRRORS, TEST, TRAIN, Build, scene_of

PARAMS = ROOT / "params.yaml"
BENCHMARKS = Path("data/benchmarks")
# Bundled photographs, no data of its own, or photographs that a command fetches.
WITHOUT_DOWNLOAD = {"base", "multi-noise-multi-domain", "paper-networks"}
WITH_DOWNLOAD = [name for name in names() if name not in WITHOUT_DOWNLOAD]
# These are all-in-one-5 but for their share of pairs.
DISTINCT = [name for name in WITH_DOWNLOAD if not name.startswith("limited-pairs")]
HELD_OUT = ("test", "val", "cbsd68", "sots")


@pytest.fixture(scope="module")
def laid_out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project folder with all benchmarks in it; not to be changed."""
    root = tmp_path_factory.mktemp("laid_out")
    shutil.copy(PARAMS, root)
    for name, build in LAYOUTS.items():
        build(root / BENCHMARKS / name)
    return root


@cache
def _params(preset: str) -> Params:
    return load(PARAMS, presets=[preset])


def _run(*arguments: str) -> Result:
    result = CliRunner().invoke(app, list(arguments), env={"COLUMNS": "300"})
    if isinstance(result.exception, Exception):
        raise result.exception
    return result


@pytest.mark.parametrize("name", names())
def test_a_preset_is_valid_over_the_projects_params(name: str) -> None:
    _params(name)
    assert 10 < len(describe(name)) < 105


def test_every_preset_composes_with_the_papers_networks() -> None:
    for name in names():
        params = load(PARAMS, presets=[name, "paper-networks"])
        assert params.train.noise.network.family == "adm"
        assert params.train.residual.network.family == "rddm"
        assert params.diffusion.noise_level == 1.0
        assert params.tasks == _params(name).tasks


def test_what_belongs_together_is_replaced_and_the_rest_is_merged(content: Content) -> None:
    before = yaml.safe_dump(content)
    merged = applied(content, ["snow"])
    assert yaml.safe_dump(content) == before
    assert set(merged["tasks"]) == {"snow"}
    assert set(merged["corpora"]) == {"snow100k_clean"}
    assert merged["photographs"] == {}
    assert merged["ingest"] == {**content["ingest"], "near_duplicates": 0}
    noise = content["train"]["noise"]
    assert merged["train"]["noise"] == {**noise, "corpora": ["snow100k_clean"]}
    for section in content.keys() - WHOLE - {"ingest", "train"}:
        assert merged[section] == content[section]


def test_presets_are_applied_in_order_and_overrides_after_them() -> None:
    both = load(PARAMS, presets=["translation", "all-in-one-5"])
    assert both.tasks == _params("all-in-one-5").tasks
    assert both.ingest.max_side == 2048
    changed = load(PARAMS, ["tasks.haze.pairs=0.5", "seed=3"], ["all-in-one-5"])
    assert (changed.tasks["haze"].pairs, changed.seed) == (0.5, 3)
    with pytest.raises(UserError, match=r"no 'tasks\.snow\.pairs'"):
        load(PARAMS, ["tasks.snow.pairs=0.5"], ["all-in-one-5"])


@pytest.mark.parametrize("percent", [1, 5, 25, 50, 75, 100])
def test_limited_pairs_are_all_in_one_5_with_a_share_of_every_tasks_pairs(percent: int) -> None:
    limited = load(PARAMS, presets=[f"limited-pairs-{percent}"])
    whole = _params("all-in-one-5")
    assert {task.pairs for task in limited.tasks.values()} == {percent / 100}
    tasks = {name: task.model_copy(update={"pairs": 1.0}) for name, task in limited.tasks.items()}
    assert limited.model_copy(update={"tasks": tasks}) == whole


def test_an_entry_is_the_same_in_every_preset_that_has_it() -> None:
    seen: dict[str, Corpus | Paired] = {}
    for name in WITH_DOWNLOAD:
        params = _params(name)
        both: dict[str, Corpus | Paired] = {**params.corpora, **params.paired}
        for entry, corpus in both.items():
            assert seen.setdefault(entry, corpus) == corpus, (name, entry)


@pytest.mark.parametrize("name", WITH_DOWNLOAD)
def test_every_task_trains_and_is_judged_on_entries_of_their_own(name: str) -> None:
    params = _params(name)
    both: dict[str, Corpus | Paired] = {**params.corpora, **params.paired}
    for entry, corpus in both.items():
        assert corpus.holdout == (1.0 if any(mark in entry for mark in HELD_OUT) else 0.0)
        assert corpus.licence
        assert "https://" in corpus.obtain
    for task in params.tasks.values():
        assert {both[entry].holdout for entry in task.corpora or task.paired} == {0.0, 1.0}
    assert params.train.noise.corpora
    assert all(params.corpora[entry].holdout == 0.0 for entry in params.train.noise.corpora)


def test_multi_noise_multi_domain_runs_on_bundled_photographs(
    workspace: Path, content: Content
) -> None:
    shutil.copy(PARAMS, workspace)
    params = load(PARAMS, presets=["multi-noise-multi-domain"])
    assert len(params.tasks) == 9
    assert all(package_file(file) for files in params.photographs.values() for file in files)
    assert {corpus.source for corpus in params.corpora.values()} == {
        f"data/photographs/{folder}" for folder in params.photographs
    }
    assert _run("data", "check", "--preset", "multi-noise-multi-domain").exit_code == 0


def test_unknown_presets_are_named_with_the_nearest_and_all_there_are() -> None:
    with pytest.raises(
        UserError, match=r"no preset 'all-in-on-5', did you mean 'all-in-one-5'\?"
    ) as error:
        read(PARAMS, presets=["all-in-on-5", "snow", "zzz"])
    assert "'zzz'" in str(error.value)
    assert all(name in str(error.value) for name in names())


@pytest.mark.parametrize("name", DISTINCT)
def test_a_benchmark_as_its_archive_unpacks_is_found_complete(
    name: str, laid_out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(laid_out)
    params = _params(name)
    for result in checked(params):
        assert not result.missing
        assert not result.aside
        scenes = 3 * (2 if result.key == "paired.ots" else 1)
        assert result.found.split()[0] == str(scenes), result
    _assert_entries_show_their_scenes(params)
    assert _run("data", "check", "--preset", name).exit_code == 0


@pytest.mark.parametrize(("benchmark", "build"), MIRRORS, ids=lambda x: getattr(x, "__name__", x))
def test_usual_mirrors_are_found_too(workspace: Path, benchmark: str, build: Build) -> None:
    build(BENCHMARKS / benchmark)
    params = _params("all-in-one-5")
    _assert_entries_show_their_scenes(params, BENCHMARKS / benchmark)


def _assert_entries_show_their_scenes(params: Params, below: Path = BENCHMARKS) -> None:
    """Judged by the pixels alone: a pair shows one scene, each set all of its scenes and no other."""
    with Fetcher() as fetcher:
        for name, corpus in params.corpora.items():
            if below in Path(corpus.source).parents or below == Path(corpus.source):
                found = entries(corpus.source, corpus.include).files
                shown = [_scene(fetcher, entry) for entry in found]
                assert sorted(shown) == list(TEST if corpus.holdout else TRAIN), name
        for name, paired in params.paired.items():
            if below not in Path(paired.input).parents:
                continue
            matching = match(paired, name)
            assert not matching.alone
            inputs = [_scene(fetcher, pair.input) for pair in matching.pairs]
            targets = [_scene(fetcher, pair.target) for pair in matching.pairs]
            assert set(inputs) == set(TEST if paired.holdout else TRAIN), name
            if paired.aligned:
                assert inputs == targets, name
            else:
                assert set(targets) <= set(TEST if paired.holdout else TRAIN)
            assert len({pair.key for pair in matching.pairs}) == len(matching.pairs)


def _scene(fetcher: Fetcher, entry: Entry) -> int:
    blob = fetcher.fetch(entry)
    assert isinstance(blob, Blob)
    return scene_of(np.asarray(Image.open(io.BytesIO(blob.content)).convert("RGB")))


def test_what_is_missing_is_said_with_where_to_obtain_it(workspace: Path) -> None:
    shutil.copy(PARAMS, workspace)
    for name, build in LAYOUTS.items():
        if name not in ("LOL", "CBSD68"):
            build(BENCHMARKS / name)
    result = _run("data", "check", "--preset", "all-in-one-5")
    assert result.exit_code == 2
    missing = _keys(result.output, "✗")
    assert missing == {"corpora.cbsd68", "corpora.lol_high", "paired.lol_train", "paired.lol_test"}
    assert "https://daooshee.github.io/BMVC2018website/" in result.output
    assert "https://github.com/clausmichele/CBSD68-dataset" in result.output
    assert "data/benchmarks/LOL/eval15/low does not exist" in result.output
    assert "data/benchmarks/LOL/eval15/high does not exist" in result.output
    assert "paired.ots" in _keys(result.output, "✓")


def _keys(output: str, mark: str) -> set[str]:
    rows = (line.split() for line in output.splitlines())
    return {row[1] for row in rows if row and row[0] == mark}


def test_files_without_partner_are_counted_and_shown(workspace: Path) -> None:
    shutil.copy(PARAMS, workspace)
    LAYOUTS["Snow100K"](BENCHMARKS / "Snow100K")
    for n in range(5):
        clean = BENCHMARKS / f"Snow100K/all/gt/beautiful_smile_0{TRAIN[0]}.jpg"
        shutil.copy(clean, BENCHMARKS / f"Snow100K/all/synthetic/alone_{n}.jpg")
    result = _run("data", "check", "--preset", "snow")
    assert result.exit_code == 0
    assert "5 set aside" in result.output
    assert "alone_0.jpg" in result.output
    assert "alone_3.jpg" not in result.output


def test_a_written_preset_is_valid_and_overwrites_nothing_unasked(workspace: Path) -> None:
    shutil.copy(PARAMS, workspace)
    before = Path("params.yaml").read_bytes()
    with pytest.raises(UserError, match=r"params\.yaml exists; give --force"):
        _run("presets", "write", "snow")
    with pytest.raises(UserError, match="no preset 'snw'"):
        _run("presets", "write", "snw", "--force")
    assert Path("params.yaml").read_bytes() == before
    _run("presets", "write", "all-in-one-5", "paper-networks", "-o", "other.yaml")
    assert load("other.yaml") == load(PARAMS, presets=["all-in-one-5", "paper-networks"])
    _run("presets", "write", "snow", "--force")
    assert load() == load(PARAMS, presets=["snow"])


def test_the_list_describes_every_preset() -> None:
    output = _run("presets", "list").output
    assert all(name in output and describe(name) in output for name in names())


def test_the_documentation_knows_every_preset_entry_and_address() -> None:
    page = (ROOT / "docs/presets.md").read_text()
    for name in names():
        assert f"`{name}`" in page
    for name in WITH_DOWNLOAD:
        params = _params(name)
        for corpus in (*params.corpora.values(), *params.paired.values()):
            address = next(word for word in corpus.obtain.split() if "https://" in word)
            assert address.strip("(),") in page
