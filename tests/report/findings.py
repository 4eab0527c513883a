"""Findings of a made-up evaluation, small and the same at every call."""

from typing import Any

import numpy as np
import pandas as pd

from drdd.evaluation.side_by_side import SideBySide
from drdd.evaluation.trajectories import FIRST, WORST, Trajectory
from drdd.gates.judgement import Judgement
from drdd.pictures.pixels import Pixels
from drdd.report.findings import Findings

HOSTILE = "<script>alert(1)</script>"
CURVE = pd.DataFrame({"images": range(160, 16001, 160), "loss": np.linspace(1, 0.1, 100)})
TASKS = ("haze", "low_light")
REFERRED = "haze"  # the task that has a reference
METRICS = ("psnr_rgb", "psnr_y", "ssim_rgb", "ssim_y", "ms_ssim", "feature_distance", "niqe")
PICTURES = 3


def trajectory(
    task: str, image: str, kind: str = FIRST, size: tuple[int, int] = (40, 700), shade: int = 0
) -> Trajectory:
    def pixels(value: int) -> Pixels:
        return np.full((*size, 3), value + shade, np.uint8)

    states = ("noised input", "de-residual 1", "de-residual 2", "estimate", "de-noise 1")
    return Trajectory(
        task,
        image,
        kind,
        input=pixels(50),
        output=pixels(150),
        target=pixels(200),
        states=tuple((name, pixels(60 + 10 * place)) for place, name in enumerate(states)),
        input_psnr=10.0,
        output_psnr=12.5,
        reference=pixels(100) if task == REFERRED else None,
        reference_psnr=11.5 if task == REFERRED else None,
    )


def side_by_side(task: str, image: str, change: float = -0.5) -> SideBySide:
    """A ramp that the champion restored well, and the candidate wrongly in its right half."""
    target = np.tile(np.linspace(0, 200, 700).astype(np.uint8)[None, :, None], (200, 1, 3))
    candidate = target.copy()
    candidate[:, 350:] += 40
    return SideBySide(
        task,
        image,
        variant=0,
        input=target // 2,
        champion=target + 5,
        candidate=candidate,
        target=target,
        reference=target + 20 if task == REFERRED else None,
        input_psnr=10.0,
        champion_psnr=30.0,
        candidate_psnr=30.0 + change,
        held_out=task == REFERRED,
    )


def scores(offset: float = 0.0) -> pd.DataFrame:
    """PICTURES a task; offset: dB on the PSNR of all outputs."""
    rows = []
    for task in TASKS:
        for number in range(PICTURES):
            image = f"sky/{HOSTILE}.png" if number == 1 else f"nature/{number}.png"
            row: dict[str, Any] = {"task": task, "corpus": "nature", "image": image}
            row |= {"variant": 0, "seed": 0, "width": 700, "height": 40}
            row |= {"deresidual_psnr_rgb": 9.0}
            row |= {"input_id": f"in {number}", "target_id": f"out {number}"}
            for part, level in (("input", 0.5), ("output", 0.75)):
                row |= {f"{part}_{metric}": level for metric in METRICS}
            row |= {"input_psnr_rgb": 20.0, "output_psnr_rgb": 21.0 + number + offset}
            row |= {"output_niqe": float("nan")}
            reference = 0.625 if task == REFERRED else float("nan")
            row |= {f"reference_{metric}": reference for metric in METRICS}
            rows.append(row)
    return pd.DataFrame(rows)


def latency() -> pd.DataFrame:
    table = scores()[["task", "corpus", "image", "variant", "width", "height"]]
    return table.assign(batch=1, seconds=[0.25 * (n % PICTURES + 1) for n in range(len(table))])


def metrics(against: str | None = "0c4a3f") -> Judgement:
    """Haze meets its gates, low_light misses one and fell."""
    before, after = dict.fromkeys(METRICS, 0.5), dict.fromkeys(METRICS, 0.75)
    before, after = before | {"psnr_rgb": 20.0}, after | {"psnr_rgb": 22.0}
    gain = {metric: after[metric] - before[metric] for metric in METRICS}
    tasks, gates = {}, []
    for task, needed in (("haze", 1.5), ("low_light", 99.0)):
        champion = {"verdict": "kept", "before": 21.5, "after": 22.0, "drop": -0.5}
        champion |= {"interval": [-0.75, -0.25], "images": PICTURES, "allowance": 0.2}
        tasks[task] = {
            "images": PICTURES,
            "held_out": "abc",
            "gated": True,
            "reference_name": "dark_channel" if task == REFERRED else None,
            "reference": {**dict.fromkeys(METRICS, 0.625), "psnr_rgb": 21.25}
            if task == REFERRED
            else {},
            "input": before,
            "output": after,
            "gain": gain,
            "intervals": {
                "output": {metric: [0.7, 0.8] for metric in METRICS},
                "gain": {metric: [0.2, 0.3] for metric in METRICS} | {"psnr_rgb": [1.25, 2.75]},
            },
            "sets": {"input": {"frechet_features": 40.0}, "output": {"frechet_features": 25.0}},
            "champion": champion if against else None,
        }
        gates.append(
            {
                "gate": "min_psnr_gain",
                "task": task,
                "value": 2.0,
                "needed": needed,
                "unit": "dB",
                "passed": needed <= 2.0,
                "said": f"{task} gained 2.00 dB of the {needed:.2f} needed",
            }
        )
    latency = {"gate": "max_latency_p95", "task": None, "value": None, "needed": 2.0, "unit": "s"}
    content = {
        "protocol": {"psnr": f"in dB {HOSTILE}", "crop_border": 0},
        "not_computed": {"lpips": f"no weights {HOSTILE}", "fid": "no weights"},
        "tasks": tasks,
        "mean": {"input": before, "output": after, "gain": gain},
        "against": against,
        "gates": [*gates, {**latency, "passed": True, "said": "95 of 100 took less than 2 s"}],
        "notes": ["Few pictures."],
        "passed": False,
    }
    return Judgement.model_validate(content)


def findings(against: str | None = "0c4a3f") -> Findings:
    corpus = {
        "corpus": "nature",
        "sources": ["data/nature"],
        "licence": "CC0",
        "obtain": "",
        "pictures": 8,
        "pairs": None,
        "set_aside": 1,
        "width": {"least": 9, "median": 640, "most": 700},
        "height": {"least": 9, "median": 427, "most": 512},
        "megapixels": 2.2,
        "channel_mean": [1.0, 2.0, 3.0],
        "channel_std": [1.0, 2.0, 3.0],
        "train": 6,
        "holdout": 2,
        "leaked": 0,
    }
    return Findings(
        metrics=metrics(against),
        scores=scores(),
        latency=latency(),
        champion_scores=scores(-0.5) if against else None,
        beside=[
            side_by_side("low_light", f"sky/{HOSTILE}.png", -1.25),
            side_by_side("haze", "nature/0.png"),
        ]
        if against
        else [],
        beside_notes=[f"rain: not learned {HOSTILE}"] if against else [],
        trajectories={
            task: [
                trajectory(task, f"sky/{HOSTILE}.png"),
                trajectory(task, "nature/0.png"),
                trajectory(task, "nature/0.png", WORST),
                trajectory(task, "nature/2.png", WORST, shade=1),
            ]
            for task in TASKS
        },
        curves={"noise stage": CURVE, "residual stage": CURVE},
        corpora=[corpus],
        tasks=[
            {"task": task, "train_pairs": 32, "of": 64, "holdout_pairs": PICTURES} for task in TASKS
        ],
        params_diff=[("train.residual.images", "12000", HOSTILE), ("seed", "", "1")]
        if against
        else [],
        provenance={"git": "abc", "seed": "0"},
        params=f"seed: 0 # {HOSTILE}",
    )
