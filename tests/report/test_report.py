"""The report holds every task and picture, needs nothing from outside, and escapes what it is told."""

import base64
import hashlib
import io
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from drdd.gates.judgement import TaskResult
from drdd.report.beside import beside
from drdd.report.report import write_report
from tests.report.findings import HOSTILE, TASKS, findings, side_by_side

VOID = ("meta", "img", "input")


def _page(folder: Path, against: str | None = "0c4a3f") -> str:
    path = folder / "report.html"
    write_report(path, findings(against))
    return path.read_text()


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> str:
    return _page(tmp_path_factory.mktemp("report"))


def _text(html: str) -> str:
    """What a reader sees, in one line."""
    shown = re.sub(r"<(style|script)>.*?</\1>|<[^>]*>", " ", html, flags=re.DOTALL)
    return re.sub(r"\s+", " ", shown)


def _section(page: str, name: str) -> str:
    found = re.search(rf'<section id="{name}">.*?</section>', page, re.DOTALL)
    assert found, name
    return found[0]


def test_verdicts_come_first_and_the_missed_one_before_the_others(page: str) -> None:
    ids = re.findall(r'<section id="([^"]*)"', page)
    assert ids[:5] == ["verdicts", "results", "champion", "task-haze", "task-low_light"]
    said = _text(_section(page, "verdicts"))
    assert "1 of 3 gates missed" in said
    assert said.index("low_light gained 2.00") < said.index("haze gained 2.00")
    assert "at least 99.00 dB" in said
    assert "at most 2.00 s" in said
    assert "0c4a3f" in said


def test_results_show_intervals_the_champion_and_what_is_not_computed(page: str) -> None:
    said = _text(_section(page, "results"))
    assert said.count("+1.25 to +2.75") == 2
    champion = _text(_section(page, "champion"))
    assert champion.count("kept 21.50 22.00 +0.50 +0.25 to +0.75 3 0.20") == 2
    assert "LPIPS no weights" in said
    task = _text(_section(page, "task-haze"))
    assert "FID not computed" in task
    assert re.search(r"Fréchet feature distance .{0,40} 40.00 25.00 \N{MINUS SIGN}15.00", task)


def test_a_reference_is_a_column_and_empty_where_a_task_has_none(page: str) -> None:
    haze, low_light = (_section(page, f"task-{task}") for task in TASKS)
    assert re.search(r"PSNR, RGB .{0,40} 20.00 21.25 22.00", _text(haze))
    assert "Reference, without training: dark channel." in _text(haze)
    assert "reference" not in _text(low_light).lower()
    assert haze.count(': reference"') == 3 + 3  # whole and in detail
    rows = re.findall(r"<tr>.*?</tr>", _section(page, "results"), re.DOTALL)
    cells = {task: row for task in TASKS for row in rows if f"#task-{task}" in row}
    assert "<td>21.25</td>" in cells["haze"]
    assert "<td></td>" in cells["low_light"]
    listed = _section(page, "pictures")
    assert "<th><button>PSNR, RGB, in</button></th>" in listed
    assert listed.count("<th><button>reference</button></th>") == listed.count(", in</button>")


def test_a_task_passes_only_when_all_its_gates_do(tmp_path: Path) -> None:
    told = findings()
    gates = told.metrics.gates
    change = {"gate": "max_drop_vs_champion", "passed": False, "said": "haze fell"}
    fell = gates[0].model_copy(update=change)
    told = replace(told, metrics=told.metrics.model_copy(update={"gates": [*gates, fell]}))
    write_report(tmp_path / "report.html", told)
    said = _text(_section((tmp_path / "report.html").read_text(), "results"))
    assert said.count("missed") == 2
    assert "passed" not in said


def test_the_table_of_contents_leads_to_sections_that_exist(page: str) -> None:
    links, ids = (set(re.findall(p, page)) for p in (r'href="#([^"]*)"', r'\bid="([^"]*)"'))
    assert links <= ids
    assert len(re.findall(r'\bid="', page)) == len(ids)
    assert {f"task-{task}" for task in TASKS} <= links


def test_every_state_of_a_trajectory_is_shown_and_a_worst_case_only_once(page: str) -> None:
    task = _section(page, "task-haze")
    for name in ("noised input", "de-residual 1", "de-residual 2", "estimate", "de-noise 1"):
        assert task.count(f"<figcaption>{name}</figcaption>") == 3
    assert task.count('type="range"') == 3
    assert "nature/0.png (+2.50 dB) is shown above" in _text(task)


def test_the_worst_loss_against_the_champion_comes_first(page: str) -> None:
    section = _section(page, "champion")
    said = _text(section)
    assert said.index("\N{MINUS SIGN}1.25 dB") < said.index("\N{MINUS SIGN}0.50 dB")
    assert "champion 30.00, this version 28.75, input 10.00" in said
    assert section.count('type="range"') == 2
    first, second = section.split("<article")[1:]
    for article, reference in ((first, False), (second, True)):
        names = re.findall(r"<figcaption>(.*?)</figcaption>", article)
        others = ["target", "reference"] if reference else ["target"]
        assert names[:2] == ["champion", "this version"]
        assert names[2 : 2 + len(others)] == others
        details = names[2 + len(others) :]
        assert sorted(details) == sorted([*names[: 2 + len(others)], "input"])
    assert "rain: not learned &lt;script&gt;" in said
    assert "low light" in _text(first)
    assert "low_light: the champion was not evaluated on these pictures" in said
    assert "haze: the champion was not" not in said


def test_the_square_is_where_this_version_loses_most() -> None:
    shown = beside(side_by_side("haze", "a"))
    cut = {figure.name: Image.open(io.BytesIO(_decoded(figure.uri))) for figure in shown.details}
    ours, target = (float(np.asarray(cut[name]).mean()) for name in ("this version", "target"))
    assert 35 < ours - target < 45


def _decoded(uri: str) -> bytes:
    return base64.b64decode(uri.partition(",")[2])


def test_pictures_of_different_scenes_are_said_to_be(tmp_path: Path) -> None:
    told = findings()
    results = told.metrics.tasks
    tasks = {task: result.model_copy(update={"gated": False}) for task, result in results.items()}
    told = replace(told, metrics=told.metrics.model_copy(update={"tasks": tasks}))
    write_report(tmp_path / "report.html", told)
    said = _text(_section((tmp_path / "report.html").read_text(), "champion"))
    assert "haze, low_light: input and target show different scenes, so PSNR says little" in said


def test_without_pictures_the_reason_stands_there(tmp_path: Path) -> None:
    told = replace(findings(), beside=[], beside_notes=["the model does not load"])
    write_report(tmp_path / "report.html", told)
    section = _section((tmp_path / "report.html").read_text(), "champion")
    assert "the model does not load" in section
    assert "Worst losses" not in section


def test_a_first_version_compares_with_nothing(tmp_path: Path) -> None:
    page = _page(tmp_path, against=None)
    assert 'href="#champion"' not in page
    assert 'id="champion"' not in page
    said = _text(page)
    assert "first version: no champion to compare with" in said
    assert "First version: nothing to compare with." in said
    assert "Beside the champion" not in said


def test_nothing_comes_from_outside(page: str) -> None:
    sources = re.findall(r'(?:src|href|action|data)\s*=\s*"([^"]*)"', page)
    assert sources
    assert all(source.startswith(("data:image/jpeg;base64,", "#")) for source in sources)
    assert "@import" not in page
    assert "url(" not in page
    assert "default-src 'none'" in page


def test_only_its_own_script_may_run(page: str) -> None:
    (script,) = re.findall(r"<script>(.*?)</script>", page, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in page


def test_pictures_are_whole_and_of_a_sane_size(page: str) -> None:
    shown = re.findall(r'"data:image/jpeg;base64,([^"]*)" width="(\d+)" height="(\d+)"', page)
    assert len(shown) == page.count("<img")
    widths = set()
    for uri, width, height in set(shown):
        image = Image.open(io.BytesIO(base64.b64decode(uri)))
        image.load()
        assert image.size == (int(width), int(height))
        widths.add(image.width)
    assert widths == {520, 400, 128}


def test_what_it_is_told_is_escaped(page: str) -> None:
    assert HOSTILE not in page
    assert page.count("<script>") == 1
    assert page.count("&lt;script&gt;") >= 6


def test_it_is_well_formed(page: str) -> None:
    open_tags: list[str] = []

    class Checker(HTMLParser):
        def handle_starttag(self, tag: str, attrs: object) -> None:
            if tag not in VOID:
                open_tags.append(tag)

        def handle_startendtag(self, tag: str, attrs: object) -> None:
            pass

        def handle_endtag(self, tag: str) -> None:
            assert open_tags.pop() == tag

    Checker().feed(page)
    assert open_tags == []
    assert page.startswith("<!doctype html>")


def test_only_the_latency_differs_between_runs(tmp_path: Path) -> None:
    pages = []
    for times in (1, 1, 3):
        told = findings()
        slower = told.latency.assign(seconds=told.latency["seconds"] * times)
        told = replace(told, latency=slower)
        write_report(tmp_path / "report.html", told)
        pages.append((tmp_path / "report.html").read_text())
    assert pages[0] == pages[1]
    assert pages[0] != pages[2]
    rest = {page.replace(_section(page, "latency"), "") for page in pages}
    assert len(rest) == 1


def test_a_failed_write_keeps_the_old_report(tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    path.write_text("old")
    told = findings(against=None)
    bare = TaskResult(images=1, input={}, output={}, gain={})
    broken = replace(told, metrics=told.metrics.model_copy(update={"tasks": {"haze": bare}}))
    with pytest.raises(KeyError):
        write_report(path, broken)
    assert path.read_text() == "old"
