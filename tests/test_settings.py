"""Names of entries: what readers take for something else, or what is ours in results, is no name."""

from pathlib import Path

import pytest

from drdd.errors import UserError
from drdd.gates.judgement import Judgement, Means
from drdd.params import load
from drdd.params.edit import add_task
from drdd.report.judgement import headline
from tests.conftest import ROOT

TEXT = (ROOT / "params.yaml").read_text()
ENTRY = {"corpora": ["nature"], "degradation": [{"kind": "haze"}]}
FREE = [
    "a",
    "y",
    "n",
    "all",
    "task",
    "picture",
    "e1",
    "x" * 64,
    "low_light_2",
    "total",
    "item",
    "key",
]
RESERVED = [
    "null",
    "on",
    "off",
    "no",
    "yes",
    "true",
    "false",
    "nan",
    "inf",
    "na",
    "none",
    "mean",
    "step",
]
NO_NAMES = [
    "",
    "~",
    "007",
    "1e3",
    "Noise",
    "_a",
    "a-b",
    "a.b",
    "a b",
    "a:b",
    "é",
    "x" * 65,
    "a\n",
    "#a",
]


@pytest.fixture
def params(tmp_path: Path) -> Path:
    path = tmp_path / "params.yaml"
    path.write_text(TEXT)
    return path


@pytest.mark.parametrize("name", FREE)
def test_what_is_added_is_read_back_by_its_name(name: str, params: Path) -> None:
    before = load(params).tasks
    add_task(name, ENTRY, params)
    assert load(params).tasks.keys() - before.keys() == {name}


@pytest.mark.parametrize("name", RESERVED + NO_NAMES)
def test_any_other_is_refused_and_nothing_is_written(name: str, params: Path) -> None:
    said = "is reserved: " if name in RESERVED else "is no name; write lower-case letters"
    with pytest.raises(UserError) as error:
        add_task(name, ENTRY, params)
    assert f"{name!r} {said}" in str(error.value)
    assert params.read_text() == TEXT


@pytest.mark.parametrize("section", ["corpora", "paired", "synthetic", "photographs", "tasks"])
def test_names_of_every_section_are_held_to_the_same(section: str, params: Path) -> None:
    entries = {
        "corpora": "{source: x}",
        "paired": "{input: x, target: y}",
        "synthetic": "{kind: night_sky, count: 1}",
        "photographs": "[]",
        "tasks": "{corpora: [nature], degradation: [{kind: haze}]}",
    }
    text = TEXT.replace("\nsynthetic: {}", "\nsynthetic:").replace("\npaired: {}", "\npaired:")
    for name in ("'null'", "mean"):
        changed = text.replace(
            f"\n{section}:\n", f"\n{section}:\n  {name}: {entries[section]}\n", 1
        )
        params.write_text(
            changed.replace("\nsynthetic:\n\n", "\n").replace("\npaired:\n\n", "\npaired: {}\n")
        )
        with pytest.raises(UserError, match=rf"{section}\.\w+: '\w+' is reserved"):
            load(params)


def test_the_mean_of_all_tasks_has_a_name_that_no_task_has() -> None:
    none = Means(input={}, reference={}, output={}, gain={})
    mean = none.model_copy(update={"gain": {"psnr_rgb": 2.0}})
    judged = Judgement(protocol={}, not_computed={}, tasks={}, mean=mean, gates=[], passed=True)
    shown = {
        name
        for numbers in headline(judged).values()
        if isinstance(numbers, dict)
        for name in numbers
    }
    assert shown == {"mean"} <= set(RESERVED)


@pytest.mark.parametrize("alias", ["deadbeef", "facade", "base", "scratch"])
def test_an_alias_that_publishing_would_refuse_is_refused_at_the_door(
    alias: str, params: Path
) -> None:
    params.write_text(TEXT.replace("alias: champion", f"alias: {alias}"))
    with pytest.raises(UserError, match=r"publish\.alias"):
        load(params)


@pytest.mark.parametrize("alias", ["deadbeef", "a/b", "", "..", "a b"])
def test_a_served_alias_that_no_registry_has_is_refused(alias: str, params: Path) -> None:
    params.write_text(TEXT.replace("models: [champion]", f"models: ['{alias}']"))
    with pytest.raises(UserError, match=r"serve\.models\.0: .* cannot be an alias"):
        load(params)


@pytest.mark.parametrize("value", ["???", "'???'", "['???']"])
def test_what_omegaconf_would_pass_over_is_refused(value: str, params: Path) -> None:
    with pytest.raises(
        UserError, match=r"\?\?\?, which stands for a value that is yet to be given"
    ):
        load(params, [f"corpora.nature.holdout={value}"])
    params.write_text(f"{TEXT}method_: {value}\n")
    with pytest.raises(UserError, match=r"method_\S* is \?\?\?"):
        load(params)
