"""`drdd tasks ...`, in process, on a copy of the project's params.yaml."""

import difflib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from drdd.cli import tasks as tasks_cli
from drdd.degradations.catalogue import SCHEMAS
from drdd.errors import UserError
from drdd.params import Task, load, read
from drdd.params.edit import add_task, parse_degradation
from tests.conftest import ROOT

PARAMS = Path("params.yaml")


@pytest.fixture
def params(workspace: Path) -> str:
    text = (ROOT / PARAMS).read_text()
    PARAMS.write_text(text)
    return text


def _run(*arguments: str, answers: str | None = None) -> str:
    result = CliRunner().invoke(
        tasks_cli.app,
        list(arguments),
        input=answers,
        catch_exceptions=False,
        env={"COLUMNS": "200"},
    )
    assert result.exit_code == 0, result.output
    return result.output


def _changes(before: str) -> tuple[list[str], list[str]]:
    """Lines taken from and added to the file."""
    after = PARAMS.read_text()
    delta = list(difflib.ndiff(before.splitlines(), after.splitlines()))
    return tuple([line[2:] for line in delta if line[0] == sign] for sign in "-+")  # type: ignore[return-value]


def test_list_shows_where_pairs_come_from_and_the_gate(params: str) -> None:
    _run("add", "old", "--degrade", "fading", "--degrade", "jpeg", "--order", "random")
    lines = _run("list").splitlines()
    for name, task in load().tasks.items():
        (row,) = [line for line in lines if line.split()[:1] == [name]]
        assert ", ".join(task.corpora) in row
        assert ", ".join(step.kind for step in task.degradation) in row
        assert f"{task.min_psnr_gain:+g} dB" in row
    assert "fading, jpeg, in random order" in "\n".join(lines)


def test_show_draws_every_degradation_and_the_clean_picture(workspace: Path) -> None:
    assert f"{len(SCHEMAS)} degradations" in _run("show", "-o", "sheet.png")
    sheet = Path("sheet.png").read_bytes()
    _run("show", "-o", "sheet.png")
    assert Path("sheet.png").read_bytes() == sheet
    with Image.open("sheet.png") as image:
        assert image.width > 1000


def test_show_takes_a_picture_of_any_size_and_says_what_is_none(workspace: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (30, 900, 3), dtype=np.uint8)
    Image.fromarray(pixels).save("wide.png")
    _run("show", "wide.png", "-o", "sheet.jpg")
    Path("text.png").write_text("no picture")
    for arguments, said in [
        (["text.png"], r"text\.png: no image"),
        (["missing.png"], r"missing\.png: cannot be read"),
        (["wide.png", "-o", "sheet.doc"], r"sheet\.doc: cannot write '\.doc'"),
    ]:
        with pytest.raises(UserError, match=said):
            _run("show", *arguments)


def test_add_writes_the_entry_and_changes_no_other_line(params: str) -> None:
    _run(
        *("add", "old_photographs", "--corpora", "nature, medical", "--order", "random"),
        *("--degrade", "fading", "--degrade", "haze:density=1.5..2.0,airlight=0.9,probability=0.5"),
        *("--degrade", "downsample:factor=3,methods=area+bicubic", "--degrade", "grey"),
        *("--pairs", "0.25", "--variants", "2", "--min-psnr-gain", "1.25"),
    )
    removed, added = _changes(params)
    assert removed == []
    assert added == [
        "  old_photographs:",
        "    corpora: [nature, medical]",
        "    degradation:",
        "      - {kind: fading, saturation: [0.2, 0.5], contrast: [0.4, 0.7], yellowing: [0.1, 0.3]}",
        "      - {kind: haze, probability: 0.5, density: [1.5, 2.0], airlight: [0.9, 0.9]}",
        "      - {kind: downsample, factor: [3.0, 3.0], methods: [area, bicubic]}",
        "      - {kind: grey}",
        "    order: random",
        "    variants: 2",
        "    pairs: 0.25",
        "    min_psnr_gain: 1.25",
    ]
    task = load().tasks["old_photographs"]
    assert [step.kind for step in task.degradation] == ["fading", "haze", "downsample", "grey"]
    assert PARAMS.read_text().index("old_photographs") < PARAMS.read_text().index("# drdd, or a")


def test_what_add_writes_can_be_overridden_for_a_run(params: str) -> None:
    _run("add", "snow", "--degrade", "snow")
    changed = load(PARAMS, ["tasks.snow.pairs=0.05", "tasks.snow.variants=1"]).tasks["snow"]
    assert (changed.pairs, changed.variants) == (0.05, 1)
    assert changed.corpora == list(load().corpora)


def test_add_takes_a_scale_with_and_without_degradations(params: str) -> None:
    _run("add", "sr2", "--scale", "2", "--corpora", "nature")
    _run("add", "sr3", "--scale", "3", "--degrade", "jpeg")
    tasks = load().tasks
    assert (tasks["sr2"].scale, tasks["sr2"].corpora, tasks["sr2"].degradation) == (
        2,
        ["nature"],
        [],
    )
    assert (tasks["sr3"].scale, [step.kind for step in tasks["sr3"].degradation]) == (3, ["jpeg"])
    assert tasks["sr2"].reference_name() == "fine_unsharp_mask"
    listed = _run("list")
    assert "2 times smaller " in listed
    assert "3 times smaller, jpeg" in listed


def test_add_takes_pairs_of_paired_corpora(params: str) -> None:
    text = params.replace("paired: {}", "paired:\n  cats: {input: a, target: b}")
    PARAMS.write_text(text)
    _run("add", "cats", "--paired", "cats", "--pairs", "0.5", "--variants", "2")
    settings = ["    variants: 2", "    pairs: 0.5", "    min_psnr_gain: 0.0"]
    assert _changes(text) == (
        [],
        ["  cats:", "    paired: [cats]", *settings],
    )
    assert load().tasks["cats"].paired == ["cats"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["haze", "--degrade", "grey"], "tasks.haze exists already"),
        (["x"], "--degrade KIND.*or --paired NAME"),
        (["x", "--degrade", "hase"], "kind = 'hase'.*did you mean 'haze'"),
        (["x", "--degrade", "haze:dens=1"], "dens: unknown key, did you mean 'density'"),
        (["x", "--degrade", "haze:density=2..1"], "low <= high"),
        (["x", "--degrade", "haze:density=1..x"], "valid number"),
        (["x", "--degrade", "haze:density"], "'density' is no setting"),
        (["x", "--degrade", "jpeg:quality=[1"], "valid number"),
        (["x", "--degrade", "rain:probability=0"], "probability = 0: .*greater than 0"),
        (["x", "--degrade", "downsample:methods=lanczos"], "methods.0 = 'lanczos'"),
        (["x", "--degrade", "rain", "--corpora", "natur"], "'natur' is no entry of corpora"),
        (["x", "--paired", "cats"], "'cats' is no entry of paired"),
        (["x", "--degrade", "rain", "--paired", "cats"], "give paired alone"),
        (["x", "--degrade", "rain", "--pairs", "2"], "tasks.x.pairs = 2.0"),
        (["x", "--degrade", "rain", "--order", "any"], "order = 'any'"),
        (["Old photos", "--degrade", "rain"], "tasks.Old photos"),
        (["x", "--scale", "1"], "--degrade KIND or --scale 2"),
        (["x", "--scale", "0"], "tasks.x.scale = 0"),
        (["x", "--scale", "9"], "tasks.x.scale = 9"),
    ],
)
def test_add_writes_nothing_when_anything_is_wrong(
    params: str, arguments: list[str], said: str
) -> None:
    with pytest.raises(UserError, match=f"(?s){said}"):
        _run("add", *arguments)
    assert PARAMS.read_text() == params
    assert list(Path().iterdir()) == [PARAMS]


def test_add_asks_at_a_terminal(params: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tasks_cli, "_at_a_terminal", lambda: True)
    answers = "0.5\nnature\nmotion_blur:length=9..15 jpeg\n"
    output = _run("add", "shaky", answers=answers)
    assert all(kind in output for kind in SCHEMAS)
    task = load().tasks["shaky"]
    assert task.corpora == ["nature"]
    assert [step.kind for step in task.degradation] == ["motion_blur", "jpeg"]
    assert task.pairs == 0.5


def test_add_offers_paired_corpora_where_there_are_some(
    params: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tasks_cli, "_at_a_terminal", lambda: True)
    text = params.replace("paired: {}", "paired:\n  cats: {input: a, target: b}")
    PARAMS.write_text(text)
    _run("add", "dogs", answers="\ncats\n")
    assert load().tasks["dogs"].paired == ["cats"]
    _run("add", "wet", answers="\n\n\nrain\n")
    assert load().tasks["wet"].corpora == list(load().corpora)


def test_every_setting_of_a_task_can_be_written(params: str) -> None:
    entry = {**_task(), "order": "random", "variants": 1, "pairs": 0.1, "max_drop_vs_champion": 2.0}
    add_task("coloured", {**entry, "min_psnr_gain": -1.0})
    assert load().tasks["coloured"] == Task.model_validate({**entry, "min_psnr_gain": -1.0})


def test_values_that_yaml_reads_otherwise_are_written_so_that_they_come_back(params: str) -> None:
    entry = {**_task(), "pairs": 1e-07, "min_psnr_gain": 1e-05, "min_gain_over_reference": None}
    add_task("rare", entry)
    assert load().tasks["rare"] == Task.model_validate(entry)


def _task() -> dict[str, Any]:
    return {"corpora": ["nature"], "degradation": [{"kind": "grey"}]}


@pytest.mark.parametrize(
    "changed",
    [
        lambda text: text.replace("\n", "\r\n"),
        lambda text: text.replace("min_psnr_gain: 1.5", "min_psnr_gain: 1.5  # measured"),
        lambda text: text.replace(
            "min_psnr_gain: 1.5\n", "min_psnr_gain: 1.5\n    # of rain\n\n\n"
        ),
        lambda text: text.replace(
            "  rain:\n    corpora: [nature, medical, sky]", "  rain:"
        ).replace(
            "min_psnr_gain: 1.5\n", "min_psnr_gain: 1.5\n    corpora:\n    - nature\n    - sky\n"
        ),
    ],
    ids=["crlf", "comment on the line", "comment below", "list in lines"],
)
def test_any_layout_keeps_every_byte(workspace: Path, changed: Any) -> None:
    text = changed((ROOT / PARAMS).read_text())
    before = text.encode()
    PARAMS.write_bytes(before)
    load()
    written = add_task("coloured", _task())
    after = PARAMS.read_bytes()
    newline = "\r\n" if b"\r\n" in before else "\n"
    new = "".join(f"  {line}{newline}" for line in written.splitlines()).encode()
    assert after.count(new) == 1
    assert after.replace(new, b"") == before
    assert read()["tasks"]["coloured"]["degradation"] == [{"kind": "grey"}]


def test_tasks_at_the_very_end_of_a_file_without_a_last_line_break(workspace: Path) -> None:
    text = (ROOT / PARAMS).read_text()
    head, _, rest = text.partition("tasks:\n")
    tasks, _, tail = rest.partition("\n# drdd, or a baseline")
    moved = f"{head}# drdd, or a baseline{tail}\ntasks:\n{tasks}".rstrip("\n")
    PARAMS.write_bytes(moved.encode())
    written = add_task("coloured", _task())
    assert PARAMS.read_text() == moved + "\n" + "".join(f"  {x}\n" for x in written.splitlines())
    assert list(load().tasks)[-1] == "coloured"


def test_tasks_in_braces_are_left_alone(workspace: Path) -> None:
    text = (ROOT / PARAMS).read_text()
    head, _, rest = text.partition("tasks:\n")
    tail = rest.partition("\n# drdd, or a baseline")[2]
    grey = "tasks: {g: {corpora: [nature], degradation: [{kind: grey}]}}\n"
    PARAMS.write_text(f"{head}{grey}# drdd, or a baseline{tail}")
    before = PARAMS.read_bytes()
    with pytest.raises(UserError, match="write tasks in lines, not in braces"):
        add_task("coloured", _task())
    assert PARAMS.read_bytes() == before


@pytest.mark.parametrize(
    ("text", "step"),
    [
        ("rain", {"kind": "rain"}),
        ("rain:angle=-30..30", {"kind": "rain", "angle": [-30, 30]}),
        ("rain:strength=1e-1", {"kind": "rain", "strength": [0.1, 0.1]}),
        ("brush_mask:strokes=3", {"kind": "brush_mask", "strokes": 3}),
        ("downsample:methods=area", {"kind": "downsample", "methods": ["area"]}),
        ("unknown:thing=1", {"kind": "unknown", "thing": 1}),
        (" grey : probability = 0.5 ", {"kind": "grey", "probability": 0.5}),
    ],
)
def test_a_degradation_is_read_from_a_line(text: str, step: dict[str, Any]) -> None:
    assert parse_degradation(text) == step


def test_preview_draws_a_task_of_params_before_anything_has_run(params: str) -> None:
    _run("add", "old", "--degrade", "fading", "--degrade", "jpeg", "--variants", "2")
    for name in ("one.png", "two.png"):
        assert (
            _run("preview", "old", "-n", "2", "-o", name)
            == f"{name}  2 of old, 2 variants of each\n"
        )
    assert Path("one.png").read_bytes() == Path("two.png").read_bytes()
    assert {path.name for path in Path().iterdir()} == {"params.yaml", "one.png", "two.png"}


def test_preview_says_what_is_wrong(params: str) -> None:
    with pytest.raises(UserError, match="no task 'hase', did you mean 'haze'"):
        _run("preview", "hase")
    with pytest.raises(UserError, match=r"sheet\.doc: cannot write"):
        _run("preview", "haze", "-o", "sheet.doc")
    with pytest.raises(UserError, match=r"corpora\.\w+: .*BSD400 does not exist.*drdd data check"):
        _run("preview", "noise", "--preset", "all-in-one-5")
    PARAMS.write_text(
        params.replace("{kind: haze, density: [0.5, 1.3]", "{kind: hase, density: [2, 1]")
    )
    with pytest.raises(
        UserError, match=r"tasks\.haze\.degradation\.0\.kind = 'hase'.*did you mean"
    ):
        _run("preview", "haze")
    assert list(Path().iterdir()) == [PARAMS]
