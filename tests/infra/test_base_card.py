"""What is written beside the weights of the base: the pictures it learned from, figures, a card."""

import io
import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from PIL import Image

from drdd.base.photographs import listed
from drdd.data.pairs import HOLDOUT, TRAIN, Pair, write_pairs
from drdd.data.shards import table_of, writing
from drdd.files import write_json
from drdd.pictures.pixels import Picture, described
from infra.base.card import write_card
from tests.corpora import scene
from tests.project import tiny_params, write_params


@pytest.fixture
def work(tmp_path: Path) -> Path:
    """A project that has trained: one corpus with a training and a held-out picture, one drawn corpus."""
    root = tmp_path / "work"
    pictures: dict[str, Picture] = {}
    for corpus, names in {"nature": ("seen.png", "unseen.png"), "leaves": ("drawn.png",)}.items():
        with writing(root / "data/corpora" / corpus) as writer:
            for name in names:
                image = Image.fromarray(scene(len(pictures), 96, 80))
                buffer = io.BytesIO()
                image.save(buffer, "PNG")
                pictures[name] = described(name, buffer.getvalue(), image)
                writer.write(table_of([pictures[name]]))
    content = tiny_params()
    content["synthetic"] = {"leaves": {"kind": "dead_leaves", "count": 1}}
    content["corpora"] = {"nature": {"source": "in"}, "leaves": {"source": "data/synthetic/leaves"}}
    content["tasks"] = {"noise": content["tasks"]["noise"]}
    write_params(root, content)
    pairs = [
        Pair("nature", "seen.png", pictures["seen.png"].id, "a", TRAIN),
        Pair("nature", "unseen.png", pictures["unseen.png"].id, "b", HOLDOUT),
    ]
    write_pairs(root / "data/pairs/noise/members.csv", pairs)
    for stage in ("noise", "residual"):
        curve = root / f"models/{stage}/curve.csv"
        curve.parent.mkdir(parents=True)
        curve.write_text("images,loss\n16,0.5\n")
    scores = {"psnr_rgb": 20.0, "ssim_rgb": 0.5}
    better = {"psnr_rgb": 29.5, "ssim_rgb": 0.8}
    task = {"input": scores, "reference": {"psnr_rgb": 28.25, "ssim_rgb": 0.75}, "output": better}
    write_json(root / "results/metrics.json", {"tasks": {"noise": task}})
    return root


def test_the_pictures_it_learned_from_ship_and_no_others(work: Path, tmp_path: Path) -> None:
    base = tmp_path / "base"
    base.mkdir()
    write_card(base, work, runs=2, start="base")
    assert pq.read_table(base / "pictures.parquet")["name"].to_pylist() == ["seen.png"]


def test_the_card_has_figures_budget_and_licences(work: Path, tmp_path: Path) -> None:
    base = tmp_path / "base"
    base.mkdir()
    write_card(base, work, runs=2, start="base")
    card = (base / "README.md").read_text()
    assert "| noise | 20.00 | 28.25 | 29.50 | 0.750 | 0.800 |" in card
    assert "Run 2, from the base before it, seed 0" in card
    training = [one for one in listed() if one.split == TRAIN]
    assert f"{len(training)} photographs" in card
    for licence in {one.licence for one in training}:
        assert f"| {licence} |" in card
    assert json.loads((base / "figures.json").read_text()) == {"psnr": {"noise": 29.5}, "runs": 2}
    assert (base / "residual.csv").read_bytes() == b"images,loss\n16,0.5\n"


def test_the_card_says_where_it_does_not_help(work: Path, tmp_path: Path) -> None:
    base = tmp_path / "base"
    base.mkdir()
    metrics = work / "results/metrics.json"
    good = json.loads(metrics.read_text())["tasks"]["noise"]
    worse = good | {"output": {"psnr_rgb": 19.0, "ssim_rgb": 0.4}}
    alone = {part: worse[part] for part in ("input", "output")}
    write_json(metrics, {"tasks": {"noise": good, "holes": alone, "blur": worse}})
    write_card(base, work, runs=2, start="base")
    words = " ".join((base / "README.md").read_text().split())
    assert "below that of the input on blur, holes; below that of the reference on blur." in words
