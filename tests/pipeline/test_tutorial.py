"""docs/tutorial.md, run as it is written: shell blocks as typed, YAML blocks merged into params.yaml.

The project is the tests' small one. Its networks restore poorly, so its gates are lowered before each run.
"""

import json
import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf

from drdd.params import read
from drdd.shown import short
from tests.conftest import ROOT
from tests.project import must, write_params

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]  # the pipeline, five times

BLOCK = re.compile(r"^```(sh|yaml)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
UNPAIRED = ("models/noise/weights.safetensors", "models/noise/curve.csv")
RAN_BY_A_TASK = {"check", "split", "train_residual", "evaluate", "compare", "judge", "publish"}

LOW = {"min_psnr_gain": -99.0, "min_gain_over_reference": None, "max_drop_vs_champion": 2.0}
MOST = 4000  # images of the residual stage


@dataclass(frozen=True)
class Section:
    """The project after a section of the tutorial; outputs: of its shell blocks, in order."""

    outputs: tuple[str, ...]
    noise: tuple[bytes, ...]
    pairs: dict[str, bytes]
    published: dict[str, Any]
    metrics: dict[str, Any]
    champion: str

    @property
    def ran(self) -> list[str]:
        """The stages, in order, each as often as it ran."""
        return re.findall(r"^Running stage '(.+)':", "".join(self.outputs), re.MULTILINE)


@pytest.fixture(scope="module")
def root(finished: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = Path(shutil.copytree(finished, tmp_path_factory.mktemp("tutorial") / "project"))
    _make_small(root)
    must(root, "dvc", "repro")
    return root


@pytest.fixture(scope="module")
def start(root: Path) -> Section:
    return _after(root, ())


@pytest.fixture(scope="module")
def sections(root: Path, start: Section) -> list[Section]:
    """Of the tutorial's headings, in order."""
    _, *texts = re.split(r"^##+ ", (ROOT / "docs/tutorial.md").read_text(), flags=re.MULTILINE)
    return [_after(root, tuple(_followed(root, text))) for text in texts]


def _followed(root: Path, text: str) -> list[str]:
    outputs = []
    for kind, block in BLOCK.findall(text):
        if kind == "sh":
            before, repro, after = block.partition("dvc repro\n")
            outputs.append(must(root, "bash", "-ec", before.replace("VERSION", _latest(root))))
            _make_small(root)
            outputs.append(must(root, "bash", "-ec", repro + after))
        else:
            _edit(root, block)
    return outputs


def _edit(root: Path, block: str) -> None:
    params = OmegaConf.load(root / "params.yaml")
    edited = OmegaConf.to_container(OmegaConf.merge(params, OmegaConf.create(block)))
    assert isinstance(edited, dict)
    write_params(root, {str(key): value for key, value in edited.items()})


def _make_small(root: Path) -> None:
    content = read(root / "params.yaml")
    for task in content["tasks"].values():
        task |= LOW
    residual = content["train"]["residual"]
    residual["images"] = min(residual["images"], MOST)
    write_params(root, content)


def _latest(root: Path) -> str:
    version: str = json.loads((root / "results/published.json").read_text())["version"]
    return version


def _after(root: Path, outputs: tuple[str, ...]) -> Section:
    return Section(
        outputs,
        tuple((root / name).read_bytes() for name in UNPAIRED),
        {path.parent.name: path.read_bytes() for path in root.glob("data/pairs/*/members.csv")},
        json.loads((root / "results/published.json").read_text()),
        json.loads((root / "results/metrics.json").read_text()),
        json.loads((root / "published/aliases/champion.json").read_text())["version"],
    )


def test_a_new_task_runs_its_own_stages_alone(sections: list[Section]) -> None:
    snow, worse, by_hand, pairs = sections
    assert sorted(snow.ran) == sorted({*RAN_BY_A_TASK, "prepare@snow", "references@snow"})
    assert sorted(worse.ran) == sorted(RAN_BY_A_TASK - {"split"})
    assert by_hand.ran == []
    own = {"ingest_pairs@album", "prepare@old_prints", "references@old_prints"}
    assert sorted(pairs.ran) == sorted({*RAN_BY_A_TASK, *own})


def test_the_noise_stage_takes_no_step(start: Section, sections: list[Section]) -> None:
    for section in sections:
        assert section.noise == start.noise


def test_old_pairs_stay_as_they_were(start: Section, sections: list[Section]) -> None:
    before = start
    for section, new in zip(sections, ({"snow"}, set(), set(), {"old_prints"}), strict=True):
        assert section.pairs.keys() == before.pairs.keys() | new
        assert {task: section.pairs[task] for task in before.pairs} == before.pairs
        assert section.metrics["tasks"].keys() == section.pairs.keys()
        before = section


def test_the_residual_stage_begins_from_the_champion(
    start: Section, sections: list[Section]
) -> None:
    said = f"begins from the residual network of {short(start.champion)} (champion in published)"
    assert said in "".join(sections[0].outputs)


def test_what_is_good_enough_becomes_champion(start: Section, sections: list[Section]) -> None:
    snow, _, by_hand, pairs = sections
    for before, after, new in ((start, snow, "snow"), (by_hand, pairs, "old_prints")):
        said = after.published
        assert said["promoted"], said["missed"]
        assert (said["against"], after.champion) == (before.champion, said["version"])
        rows = after.metrics["tasks"].items()
        verdicts = {task: row["champion"]["verdict"] for task, row in rows}
        assert verdicts == dict.fromkeys(before.metrics["tasks"], "kept") | {new: "new"}


def test_an_old_task_that_got_worse_keeps_the_alias(sections: list[Section]) -> None:
    before, worse, *_ = sections
    said = worse.published
    assert said["promoted"] is False
    assert worse.champion == before.champion == said["against"]
    assert said["version"] != worse.champion
    row = worse.metrics["tasks"]["haze"]["champion"]
    then, now = (s.metrics["tasks"]["haze"]["output"]["psnr_rgb"] for s in (before, worse))
    assert row["verdict"] == "fell"
    assert row["drop"] == pytest.approx(then - now, abs=1e-3)
    assert row["drop"] > row["allowance"] == 2.0
    words = f"haze fell {row['drop']:.2f} dB below {short(before.champion)} (allowance 2.00)"
    assert words in said["missed"]
    assert words in worse.outputs[-1]


def test_an_alias_is_moved_by_hand_and_back(sections: list[Section]) -> None:
    before, worse, by_hand, _ = sections
    assert by_hand.champion == before.champion
    moved = f"champion: {short(before.champion)} → {short(worse.published['version'])}"
    assert moved in "".join(by_hand.outputs)


def test_a_second_run_does_nothing(root: Path, sections: list[Section]) -> None:
    assert "Data and pipelines are up to date" in sections[0].outputs[-1]
    assert "Data and pipelines are up to date" in must(root, "dvc", "repro")


def test_the_check_and_the_preview_say_what_they_found(root: Path, sections: list[Section]) -> None:
    shown, found = ("".join(sections[n].outputs) for n in (0, -1))
    assert "preview.jpg  2 of snow, 3 variants of each" in shown
    assert "4 pairs" in found
    assert "page_9.png" in found
    assert "old_prints.png  3 of old_prints" in found
    assert (root / "old_prints.png").read_bytes()[:4] == b"\x89PNG"
