"""README.md: its commands, links, params, ports and refusals. What it says of runs is tested elsewhere."""

import ast
import re
import shlex
from collections.abc import Iterator
from importlib.metadata import metadata
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml
from typer.testing import CliRunner

import drdd
from drdd.cli.main import app
from drdd.errors import UserError
from drdd.inference.engine import Restoration
from drdd.params import load, read, validate
from drdd.params.presets import names
from drdd.progress import Reporter
from drdd.stages.check import check
from drdd.stages.paths import UNPAIRED
from drdd.stages.split import split
from flows.sweep import axes, combinations
from infra.local.settings import Ports
from tests.conftest import ROOT, Content
from tests.corpora import clean_corpus, paired_corpus, scene
from tests.project import tiny_params

PAGE = (ROOT / "README.md").read_text()
PAGES = {path.relative_to(ROOT).as_posix() for path in (ROOT / "docs").glob("*.md")}
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\((?!https?:)([^)#]+)(?:#[\w-]+)?\)")
BLOCKS = [(kind, block) for kind, block in BLOCK.findall(PAGE)]
ROWS = [re.findall(r"`([^`]+)`", row) for row in re.findall(r"^\| (`.+)$", PAGE, re.MULTILINE)]


def _block(start: str) -> str:
    (found,) = (block for _, block in BLOCKS if block.startswith(start))
    return str(found)


def _typed(program: str) -> list[list[str]]:
    """The arguments of every call of a program in blocks, text and the table's rows.

    In a row, a word after `drdd models list` or `make lint` stands for its sibling, and an option belongs
    to the row's command.
    """
    shell = [line for kind, block in BLOCKS if not kind for line in block.splitlines()]
    spans = re.findall(
        r"`([^`\n]+)`", BLOCK.sub("", re.sub(r"^\|.*$", "", PAGE, flags=re.MULTILINE))
    )
    lines = [line for line in [*shell, *spans] if line.startswith(f"{program} ")]
    for first, *others in (row for row in ROWS if row[0].startswith(f"{program} ")):
        lines.append(first)
        for other in others:
            if other.startswith("--"):
                lines.append(f"{first} {other}")
            elif other.startswith(f"{program} "):
                lines.append(other)
            elif re.fullmatch(r"[a-z-]+", other):
                lines.append(f"{first.rpartition(' ')[0]} {other}")
    return [shlex.split(line, comments=True)[1:] for line in lines]


DRDD = _typed("drdd")


@pytest.mark.parametrize("words", DRDD, ids=" ".join)
def test_a_command_of_drdd_exists_with_its_options(words: list[str]) -> None:
    command: Any = typer.main.get_command(app)
    context = typer.Context(command, info_name="drdd")
    while words and (found := getattr(command, "get_command", lambda *_: None)(context, words[0])):
        command, words = found, words[1:]
    assert not hasattr(command, "commands"), f"{command.name} has no command {words[:1]}"
    options = {name: one for one in command.params for name in one.opts if name.startswith("-")}
    assert {word for word in words if word.startswith("-") and word != "-"} <= options.keys()


def test_the_commands_were_found() -> None:
    said = {" ".join(words) for words in DRDD}
    assert {"up", "run --preset", "models rollback", "doctor --json", "tasks preview"} <= said
    assert "run --set train.noise.images=4000" in said


def test_a_target_of_make_exists() -> None:
    listed = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    asked = {words[0] for words in _typed("make")}
    assert asked <= set(listed)
    tests = {"test", "test-gate", "test-slow", "fault-test", "cluster-test", "bench-flow"}
    assert tests <= asked


@pytest.mark.parametrize("page", ["README.md", *sorted(PAGES)])
def test_what_a_page_links_is_there(page: str) -> None:
    for target in LINK.findall(BLOCK.sub("", (ROOT / page).read_text())):
        assert (ROOT / page).parent.joinpath(target).exists(), target


def test_every_page_is_linked() -> None:
    linked = set(LINK.findall(PAGE))
    assert PAGES - linked <= {"docs/recorded-numbers.md"}
    assert "recorded-numbers.md" in LINK.findall((ROOT / "docs/method.md").read_text())


@pytest.fixture
def project(workspace: Path) -> Path:
    """A folder with the project's params.yaml."""
    (workspace / "params.yaml").write_bytes((ROOT / "params.yaml").read_bytes())
    return workspace


def test_add_writes_the_task_that_is_shown(project: Path) -> None:
    line = next(line for line in PAGE.splitlines() if line.startswith("drdd tasks add"))
    result = CliRunner().invoke(app, shlex.split(line)[1:], catch_exceptions=False)
    shown = _block("tasks:\n")
    assert shown.removeprefix("tasks:\n") in Path("params.yaml").read_text()
    written = re.sub(r"^  ", "", shown.removeprefix("tasks:\n"), flags=re.MULTILINE)
    assert written in result.output
    fog = load().tasks["fog"]
    assert (fog.variants, fog.pairs, fog.min_psnr_gain) == (4, 0.25, 0.0)


def test_the_shown_entries_are_valid_params(content: Content) -> None:
    merged = content
    for entry in (
        _block("tasks:\n"),
        *_spans("corpora: {"),
        *_spans("paired: {"),
        *_spans("tasks: {"),
    ):
        for section, entries in yaml.safe_load(entry).items():
            merged[section] |= entries
    params = validate(merged)
    assert params.tasks.keys() >= {"fog", "mend"}
    assert (*params.corpora, *params.paired)[-2:] == ("photos", "scans")


def _spans(start: str) -> list[str]:
    """The entries of params that the text shows."""
    return re.findall(rf"`({re.escape(start)}[^`]*)`", PAGE)


def test_a_mistake_is_refused_as_shown(content: Content) -> None:
    shown = _block("params.yaml: ").strip().removesuffix("...")
    noise = content["train"]["noise"]
    noise["learning_rat"] = noise.pop("learning_rate")
    with pytest.raises(UserError) as error:
        validate(content)
    assert str(error.value).startswith(shown)


def _interpolated() -> Iterator[str]:
    """Keys of params without which DVC cannot read dvc.yaml."""
    for name in re.findall(r"\$\{(.+?)\}", (ROOT / "dvc.yaml").read_text()):
        if name != "key":
            yield name.removeprefix("item.")


def test_the_keys_that_dvc_reads_first_are_named_and_refused_by_data_check(project: Path) -> None:
    (said,) = re.findall(r"`dvc repro` itself\s+reads (.+?)\. If", PAGE, re.DOTALL)
    keys = set(re.findall(r"`([\w.]+)`", said))
    assert keys == set(_interpolated())
    text = Path("params.yaml").read_text()
    for key in ("tasks", "corpora", "paired", "synthetic", "source", "data"):
        mistaken = re.sub(rf"^( *){key}:", rf"\1{key}x:", text, count=1, flags=re.MULTILINE)
        Path("params.yaml").write_text(mistaken)
        with pytest.raises(UserError, match=f"{key}x: unknown key, did you mean '{key}'"):
            CliRunner().invoke(app, ["data", "check"], catch_exceptions=False)
        with pytest.raises(UserError, match=f"did you mean '{key}'"):
            check(load(), Reporter("check"))


def test_overrides_presets_and_sweeps_are_valid() -> None:
    path, (sweep,) = ROOT / "params.yaml", [words[1:] for words in DRDD if words[0] == "sweep"]
    for values in combinations(axes(sweep)):
        load(path, [f"{key}={value}" for key, value in values.items()])
    overrides = [words[2] for words in DRDD if words[:2] == ["run", "--set"]]
    assert load(path, overrides).train.noise.images == 4000
    presets = {words[2] for words in DRDD if words[:2] == ["run", "--preset"] and words[2:]}
    assert presets <= set(names())
    assert presets


def test_a_corpus_that_holds_out_a_picture_of_the_noise_stage_takes_it_out(workspace: Path) -> None:
    """The one case in which a new task retrains the noise stage; a task of known corpora does not."""
    clean_corpus("nature", {f"{n}.png": scene(n) for n in range(4)})
    paired_corpus("mine", {str(n): (scene(n), scene(n) // 2) for n in (3, 20)})
    content = tiny_params()
    content["corpora"] = {"nature": {"source": "n", "holdout": ["0"]}}
    content["tasks"] = {"haze": {"corpora": ["nature"], "degradation": [{"kind": "haze"}]}}
    before = _unpaired(content)
    content["tasks"] |= yaml.safe_load(_block("tasks:\n"))["tasks"]
    content["tasks"]["fog"]["corpora"] = ["nature"]
    assert _unpaired(content) == before
    content["tasks"]["mend"] = {"paired": ["mine"]}
    content["paired"] = {"mine": {"input": "i", "target": "t", "holdout": ["20"]}}
    assert _unpaired(content) == before
    content["paired"]["mine"]["holdout"] = ["3"]
    after = _unpaired(content)
    assert [line for line in before if line not in after] == [x for x in before if "3.png" in x]


def _unpaired(content: Content) -> list[str]:
    """The noise stage's table of pictures, all that it reads of `split` in training."""
    split(validate(content), Reporter("split"))
    return UNPAIRED.read_text().splitlines()


def test_the_noise_stage_reads_no_task() -> None:
    stage = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]["train_noise"]
    assert not [one for one in stage["params"] if one.startswith(("tasks", "corpora", "paired"))]
    assert "data/pairs" not in stage["deps"]


def test_the_ports_are_the_stacks(monkeypatch: pytest.MonkeyPatch) -> None:
    said = re.search(
        r"S3 (\d+), Prefect (\d+), Ray (\d+) and its\s+dashboard (\d+), the service (\d+)", PAGE
    )
    assert said
    s3, prefect, ray, dashboard, serve = map(int, said.groups())
    assert Ports() == Ports(s3=s3, prefect=prefect, ray=ray, dashboard=dashboard, serve=serve)
    monkeypatch.setenv("DRDD_DASHBOARD_PORT", "9000")
    assert Ports.chosen() == Ports(dashboard=9000)


def test_the_python_example_names_what_there_is() -> None:
    tree = ast.parse(_block("import drdd\n"))
    used = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    assert used == {"Restorer", "from_pretrained", "restore", "output"}
    assert all(hasattr(drdd.Restorer, name) for name in ("from_pretrained", "restore"))
    assert "output" in Restoration.__dataclass_fields__


def test_the_extras_exist() -> None:
    assert set(re.findall(r"`\[(\w+)\]`", PAGE)) <= set(
        metadata("drdd").get_all("Provides-Extra") or []
    )


def test_the_deployment_exists() -> None:
    (flow,) = re.findall(r"`prefect deployment run drdd/([\w-]+) --watch`", PAGE)
    deployments = yaml.safe_load((ROOT / "prefect.yaml").read_text())["deployments"]
    assert flow in {one["name"] for one in deployments}


def test_the_settings_that_are_named_are_params() -> None:
    content = read(ROOT / "params.yaml")
    assert "registry" in content["publish"]
    load(ROOT / "params.yaml", ["train.residual.start=champion"])
