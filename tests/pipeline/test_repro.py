"""`dvc repro` from nothing to a published model, by itself, and byte for byte again."""

import json
import os
import re
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pandas as pd
import pytest
import torch
from omegaconf import OmegaConf
from safetensors.torch import load_file

from drdd.evaluation.side_by_side import read_comparison
from drdd.nets.adm import AdmConfig
from drdd.nets.adm_unet import AdmUNet
from tests.examples import code_of
from tests.nets.filled import filled
from tests.project import environment, make_project, must, run, tiny_params, write_params

pytestmark = pytest.mark.slow

SAME = [
    "models/candidate/model.safetensors",
    "models/candidate/config.json",
    "data/corpora/nature/00000.parquet",
    "data/split/tasks/haze.csv",
    "data/pairs/haze/00000.parquet",
    "data/references/haze/00000.parquet",
    "models/noise/curve.csv",
    "models/residual/curve.csv",
    "results/metrics.json",
    "results/summary.json",
    "results/grid.png",
    "results/evaluation/sets.json",
    "results/evaluation/trajectories.parquet",
    "results/gain.csv",
    "results/evaluation/images.parquet",
]


@pytest.fixture
def copy(finished: Path, tmp_path: Path) -> Path:
    """A finished project to change."""
    return shutil.copytree(finished, tmp_path / "copy")


def test_two_runs_from_nothing_are_the_same_bytes(finished: Path, tmp_path: Path) -> None:
    again = make_project(tmp_path / "again")
    must(again, "dvc", "repro")
    for name in SAME:
        assert (again / name).read_bytes() == (finished / name).read_bytes(), name
    versions = {
        json.loads((root / "results/published.json").read_text())["version"]
        for root in (again, finished)
    }
    assert len(versions) == 1  # timings do not name a version


@pytest.mark.gate
def test_a_second_run_does_nothing(copy: Path) -> None:
    assert "Data and pipelines are up to date" in must(copy, "dvc", "repro")


@pytest.mark.gate
def test_a_killed_stage_is_resumed_to_the_same_bytes(finished: Path, copy: Path) -> None:
    """`dvc repro` and all its processes, by SIGKILL, as soon as training has a checkpoint."""
    again = ("dvc", "repro", "--force", "--single-item", "train_noise")
    checkpoints = copy / ".drdd/checkpoints"
    killed = subprocess.Popen(again, cwd=copy, env=environment(), start_new_session=True)
    while not (saved := sorted(checkpoints.glob("noise-*/*.json"))):
        assert killed.poll() is None
        time.sleep(0.01)
    os.killpg(killed.pid, signal.SIGKILL)
    killed.wait()
    assert not (copy / "models/noise/weights.safetensors").exists()
    images = re.findall(r"(\d+)/640 images", must(copy, *again))
    assert int(images[0]) > int(saved[0].stem)
    for name in SAME:
        assert (copy / name).read_bytes() == (finished / name).read_bytes(), name
    assert "Data and pipelines are up to date" in must(copy, "dvc", "repro")


@pytest.mark.gate
def test_the_model_is_published_and_works(copy: Path) -> None:
    published = json.loads((copy / "results/published.json").read_text())
    assert published["promoted"] is True
    assert published["version"][:12] in must(copy, "drdd", "models", "list")
    assert "every hash verified" in must(copy, "drdd", "models", "pull", "champion", "pulled")
    names = {path.name for path in (copy / "pulled").iterdir()}
    assert {
        "model.safetensors",
        "config.json",
        "params.yaml",
        "metrics.json",
        "report.html",
        "images.parquet",
        "latency.parquet",
        "samples",
        "dvc.lock",
        "README.md",
        "manifest.json",
    } == names
    manifest = json.loads((copy / "pulled/manifest.json").read_text())
    assert len(manifest["about"]["git"].removesuffix("-dirty")) == 40
    picture = "data/photographs/nature/chelsea.png"
    must(copy, "drdd", "restore", picture, "-o", "out.png")
    assert (copy / "out.png").read_bytes()[:4] == b"\x89PNG"


def test_a_new_task_never_retrains_the_noise_stage(copy: Path) -> None:
    """Of the old tasks a picture stands beside the champion's, by the real deployment of both models."""
    champion = json.loads((copy / "results/published.json").read_text())["version"]
    content = tiny_params()
    content["tasks"]["rain"] = {
        "corpora": ["nature"],
        "degradation": [
            {
                "kind": "rain",
                "density": [0.01, 0.01],
                "length": [9, 15],
                "angle": [0, 0],
                "strength": [0.8, 0.8],
            }
        ],
        "variants": 1,
        "min_gain_over_reference": None,
    }
    write_params(copy, content)
    noise = (copy / "models/noise/weights.safetensors").read_bytes()
    output = must(copy, "dvc", "repro")
    ran = {line.split("'")[1] for line in output.splitlines() if line.startswith("Running stage")}
    assert ran == {
        "check",
        "split",
        "prepare@rain",
        "references@rain",
        "train_residual",
        "evaluate",
        "compare",
        "judge",
        "publish",
    }
    assert (copy / "models/noise/weights.safetensors").read_bytes() == noise
    assert set(json.loads((copy / "results/metrics.json").read_text())["tasks"]) == {
        "noise",
        "haze",
        "rain",
    }
    beside = read_comparison(copy / "results/comparison")
    assert beside.champion == champion
    assert beside.notes == ("rain: no pictures, as the champion has not learned this task",)
    assert {one.task for one in beside.pictures} == {"noise", "haze"}
    then, now = (
        pd.read_parquet(root / "images.parquet").set_index("task")["output_psnr_rgb"]
        for root in (copy / "published/versions" / champion, copy / "results/evaluation")
    )
    for one in beside.pictures:  # one picture a task, so each is all of its table
        assert one.champion_psnr == pytest.approx(then[one.task], abs=0.02)
        assert one.candidate_psnr == pytest.approx(now[one.task], abs=0.02)
    assert "Worst losses" in (copy / "results/report.html").read_text()


@pytest.mark.gate
def test_a_removed_task_is_gone_from_the_model(copy: Path) -> None:
    content = tiny_params()
    del content["tasks"]["haze"]
    write_params(copy, content)
    output = must(copy, "dvc", "repro")
    ran = {line.split("'")[1] for line in output.splitlines() if line.startswith("Running stage")}
    assert ran == {"check", "split", "train_residual", "evaluate", "compare", "judge", "publish"}
    config = json.loads((copy / "models/candidate/config.json").read_text())
    assert list(config["tasks"]) == ["noise"]
    assert not (copy / "data/pairs/haze").exists()
    beside = read_comparison(copy / "results/comparison")  # by both models, really deployed
    assert ([one.task for one in beside.pictures], beside.notes) == (["noise"], ())


def test_dvc_shows_graph_metrics_params_and_plots(copy: Path) -> None:
    assert "train_noise" in must(copy, "dvc", "dag")
    shown = must(copy, "dvc", "metrics", "show")
    assert "psnr_gain.haze" in shown
    assert "psnr_gain.mean" in shown
    content = tiny_params()
    content["tasks"]["haze"]["pairs"] = 0.5
    write_params(copy, content)
    assert "tasks.haze.pairs" in must(copy, "dvc", "params", "diff")
    must(copy, "dvc", "plots", "show", "-o", "plots")
    page = (copy / "plots/index.html").read_text()
    assert "Noise stage, unpaired" in page
    assert "PSNR gain over the degraded input" in page


@pytest.mark.parametrize(
    ("method", "parts"),
    [("coupled_two_networks", {"residual", "noise"}), ("toy", {"residual"})],
)
def test_a_baseline_goes_the_same_way(copy: Path, method: str, parts: set[str]) -> None:
    if method == "toy":  # one file makes a method of the user's own
        (copy / "drdd/methods/toy.py").write_text(code_of("A method"))
    content = tiny_params() | {"method": method}
    OmegaConf.save(OmegaConf.create(content), copy / "params.yaml")  # `toy` is known there alone
    must(copy, "dvc", "repro", "judge")
    assert f"{method} baseline, pairs" in (copy / "results/report.html").read_text()
    must(copy, "dvc", "plots", "show", "-o", "plots")
    config = json.loads((copy / "models/candidate/config.json").read_text())
    assert config["sampling"]["method"] == method
    assert set(config["networks"]) == parts
    assert json.loads((copy / "results/metrics.json").read_text())["tasks"].keys() == {
        "noise",
        "haze",
    }


def test_the_noise_stage_begins_from_a_pretrained_model(copy: Path) -> None:
    """Guided diffusion's file, conditioned on the residual stage's estimate, and still no pair."""
    theirs = filled(AdmUNet(AdmConfig(3, 6, 32, (1, 2), 1, (2,), head_channels=16)))
    (copy / "pretrained").mkdir(exist_ok=True)
    torch.save(theirs.state_dict(), copy / "pretrained/uncond.pt")
    content = tiny_params()
    content["train"]["noise"] |= {
        "start": "pretrained/uncond.pt",
        "network": {"family": "pretrained", "head_channels": 16},
        "parameterization": "vp_epsilon",
        "conditioning": "estimate",
        "images": 80,
    }
    write_params(copy, content)
    output = must(copy, "dvc", "repro", "evaluate")
    assert "the noise stage begins from pretrained/uncond.pt" in output
    for what in ("loaded", "skipped", "new, at 0"):
        assert re.search(rf"^ *{what} .* [\d,]+ *$", output, re.MULTILINE), output
    config = json.loads((copy / "models/candidate/config.json").read_text())
    assert config["networks"]["noise"]["family"] == "adm"
    assert config["networks"]["noise"]["in_channels"] == 6
    (copy / "pretrained/uncond.pt").write_bytes(b"no checkpoint")
    refused = run(copy, "dvc", "repro", "train_noise")
    assert "pretrained/uncond.pt: damaged, cut short, or no checkpoint" in refused.stdout
    (copy / "pretrained/uncond.pt").unlink()
    content["train"]["noise"]["images"] = 88
    write_params(copy, content)
    missing = run(copy, "dvc", "repro", "check")
    assert "train.noise.start = 'pretrained/uncond.pt': does not exist" in missing.stdout


def test_both_stages_begin_from_the_base(copy: Path) -> None:
    """From a base that the project packs itself; another one trains again, another file does not."""
    content = tiny_params()
    for stage in ("noise", "residual"):
        content["train"][stage] |= {"start": "base", "images": 80}
    write_params(copy, content)
    shutil.rmtree(copy / "drdd/base/model", ignore_errors=True)
    missing = run(copy, "dvc", "repro", "check")
    for stage in ("noise", "residual"):
        said = f"train.{stage}.start = 'base': the base that ships with drdd is missing"
        assert said in missing.stdout
    must(copy, "python", "-m", "infra.base.pack", "models/candidate")
    output = must(copy, "dvc", "repro")
    for stage in ("noise", "residual"):
        assert f"train_{stage}: begins from the base that ships with drdd" in output
        assert json.loads((copy / f"models/{stage}/start.json").read_text()) == {"from": "base"}
    (copy / "pretrained/another.pt").write_bytes(b"not named by any start")
    assert _ran(must(copy, "dvc", "repro")) == {"check"}
    must(copy, "python", "-m", "infra.base.pack", "models/candidate")
    assert {"check", "train_noise", "train_residual"} <= _ran(must(copy, "dvc", "repro"))


def _ran(output: str) -> set[str]:
    return {line.split("'")[1] for line in output.splitlines() if line.startswith("Running stage")}


@pytest.mark.gate
def test_two_workers_see_the_same_data_and_train_the_same_model(copy: Path) -> None:
    """Up to the order of float additions, which Adam's first steps magnify."""
    content = tiny_params()
    for stage in ("noise", "residual"):
        content["train"][stage]["workers"] = 2
    write_params(copy, content)
    stages = ("noise", "residual")
    alone = {s: load_file(copy / f"models/{s}/weights.safetensors") for s in stages}
    curves = {s: pd.read_csv(copy / f"models/{s}/curve.csv") for s in stages}
    must(copy, "dvc", "repro", "train_noise", "train_residual")
    for stage in stages:
        curve = pd.read_csv(copy / f"models/{stage}/curve.csv")
        assert curve["loss"][0] == pytest.approx(curves[stage]["loss"][0], rel=1e-4)
        assert list(curve["loss"]) == pytest.approx(list(curves[stage]["loss"]), rel=5e-3)
        together = load_file(copy / f"models/{stage}/weights.safetensors")
        ours, theirs = (
            torch.cat([weights[name].flatten() for name in sorted(weights)])
            for weights in (together, alone[stage])
        )
        assert float((ours - theirs).norm() / theirs.norm()) < 0.01


def test_a_misspelt_key_stops_everything_before_any_work(copy: Path) -> None:
    content = (copy / "params.yaml").read_text()
    (copy / "params.yaml").write_text(content.replace("learning_rate", "learning_rat", 1))
    done = run(copy, "dvc", "repro")
    assert done.returncode != 0
    assert "unknown key, did you mean 'learning_rate'" in done.stdout
    assert "Running stage 'check'" in done.stdout
    assert done.stdout.count("Running stage") == 1


def test_a_corpus_that_is_missing_or_has_bad_files(copy: Path) -> None:
    content = tiny_params()
    content["corpora"]["mine"] = {"source": "mine", "holdout": 0.0}
    write_params(copy, content)
    assert "does not exist" in run(copy, "dvc", "repro", "ingest@mine").stdout
    (copy / "mine").mkdir()
    (copy / "mine/notes.txt").write_text("no image")
    assert "holds no image file" in run(copy, "dvc", "repro", "ingest@mine").stdout
    shutil.copy(copy / "data/photographs/nature/coffee.png", copy / "mine/good.png")
    whole = (copy / "mine/good.png").read_bytes()
    (copy / "mine/cut.png").write_bytes(whole[: len(whole) // 2])
    (copy / "mine/words.jpg").write_text("these are words")
    output = must(copy, "dvc", "repro", "ingest@mine")
    assert "cut.png: damaged or cut short" in output
    assert "words.jpg: no image" in output
    card = json.loads((copy / "data/corpora/mine/card.json").read_text())
    assert (card["pictures"], card["set_aside"]) == (1, 2)
