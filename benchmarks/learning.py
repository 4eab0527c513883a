"""What networks and losses learn in equal CPU seconds, by plain regression on the prepared pairs.

`python -m benchmarks.learning` trains every variant for 120 CPU seconds and prints the PSNR of held-out
crops after a quarter, a half and all of them; `python -m benchmarks.learning NAME...` only those;
`--seconds N`; `--table` prints what was measured before. Results: benchmarks/results/learning.json. One
thread; only the seconds of optimiser steps count, so other work on the machine changes little.
"""

import argparse
import json
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn

from benchmarks.normed_unet import NormedUNet
from drdd.data.library import Library, PicturePairs
from drdd.data.loader import ahead
from drdd.data.pairs import HOLDOUT, TRAIN
from drdd.methods.method import Batch
from drdd.params import Params, load
from drdd.stages.prepared import paired, whereabouts
from drdd.training.learner import Learner, Worker
from drdd.training.optimisation import learning_rate_factor
from drdd.training.samples import PairSamples
from drdd.training.settings import method_of, objective_of, stage_settings
from drdd.training.specs import StageSpec, stage_spec
from drdd.training.validation import held_out, validate

RESULTS = Path("benchmarks/results/learning.json")
CROP = 256  # pixels of a side, judged
HELD = 6  # pictures a task
FROM_SCRATCH = [
    "method=regression",
    "train.residual.start=scratch",
    "train.residual.learning_rate=0.001",
]
SQUARED, BALANCED = {"loss": "squared"}, {"loss": "squared", "balance": "relative"}
VARIANTS: dict[str, tuple[bool, dict[str, Any]]] = {
    "with norms, squared, balanced": (True, BALANCED),
    "with norms, log_squared": (True, {"loss": "log_squared"}),
    "compact, squared": (False, SQUARED),
    "compact, squared, balanced": (False, BALANCED),
    "compact, charbonnier": (False, {"loss": "charbonnier"}),
    "compact, charbonnier, balanced": (False, {"loss": "charbonnier", "balance": "relative"}),
    "compact, log_squared": (False, {"loss": "log_squared"}),
    "compact, log_squared, balanced": (False, {"loss": "log_squared", "balance": "relative"}),
}
"""By name: whether the network is the one with norms, and the settings that differ from the params."""


class _WithoutContext(nn.Module):
    """The network with norms takes no context: a crop is all that it sees."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, x: Tensor, time: Tensor, *context: Tensor) -> Tensor:
        return self.net(x, time)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.learning")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(VARIANTS)}")
    parser.add_argument("--seconds", type=float, default=120)
    parser.add_argument("--table", action="store_true")
    asked = parser.parse_args()
    if unknown := [name for name in asked.names if name not in VARIANTS]:
        parser.error(f"no variant {unknown[0]!r}; there are {', '.join(VARIANTS)}")
    found = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    if not asked.table:
        torch.set_num_threads(1)
        for name in asked.names or VARIANTS:
            print(name, flush=True)
            found[name] = measured(*VARIANTS[name], asked.seconds)
            RESULTS.write_text(json.dumps(found, indent=1) + "\n")
    print_table(found)


def measured(norms: bool, changes: dict[str, Any], seconds: float) -> dict[str, Any]:
    """Speed, parameters, and PSNR by task after a quarter, a half and all of the seconds."""
    params = load(overrides=FROM_SCRATCH)
    settings = stage_settings(params, "residual").model_copy(update=changes)
    spec, judged = _prepared(params, settings, norms)
    learner = Learner(spec, settings, Worker())
    learner.join()
    drawings = ahead(
        lambda step: spec.draw(range(step * settings.batch, (step + 1) * settings.batch)),
        range(10**9),
    )
    marks, used, step = [seconds / 4, seconds / 2, seconds], 0.0, 0
    psnr = {}
    while marks:
        drawing = next(drawings)
        factor = learning_rate_factor(
            settings.schedule, used / seconds * 1000, 1000, settings.warmup
        )
        begun = time.thread_time()
        learner.learn(drawing, step, settings.learning_rate * factor)
        used += time.thread_time() - begun
        step += 1
        if used >= marks[0]:
            with learner.averaged() as net:
                psnr[f"{marks.pop(0):g}"] = judged(net)
            print(psnr, flush=True)
    drawings.close()  # type: ignore[attr-defined]
    parameters = sum(parameter.numel() for parameter in learner.net.parameters())
    return {"parameters": parameters, "images/s": step * settings.batch / used, "psnr": psnr}


def _prepared(
    params: Params, settings: Any, norms: bool
) -> tuple[StageSpec, Callable[[nn.Module], dict[str, float]]]:
    method, pairs, held = (
        method_of(params),
        paired(params.tasks, TRAIN),
        paired(params.tasks, HOLDOUT),
    )
    library = Library(whereabouts(pairs, held))
    samples = PairSamples(
        {task: PicturePairs(library, found) for task, found in pairs.items()},
        settings.crop,
        params.seed,
    )
    spec = stage_spec("residual", method, samples, settings, params.seed)
    if norms:
        objective, widths = objective_of(settings), settings.network.channels

        def loss(net: nn.Module, batch: Batch) -> Tensor:
            return method.loss("residual", net, batch, objective)

        spec = replace(spec, make=lambda: _WithoutContext(NormedUNet(widths)), loss=loss)
    crops = held_out(library, held, CROP, HELD, contexts=True)

    def judged(net: nn.Module) -> dict[str, float]:
        return validate(net, partial(method.validate, "residual"), crops, params.seed, "cpu").psnr

    return spec, judged


def print_table(found: dict[str, Any]) -> None:
    seconds = sorted({mark for one in found.values() for mark in one["psnr"]}, key=float)
    table = Table(
        box=None, title="mean PSNR (dB) of held-out crops after CPU seconds", title_justify="left"
    )
    tasks = sorted(next(iter(next(iter(found.values()))["psnr"].values())))
    for heading in (
        "variant",
        "parameters",
        "images/s",
        *(f"{mark} s" for mark in seconds),
        *tasks,
    ):
        table.add_column(heading, justify="left" if heading == "variant" else "right")
    for name in [name for name in VARIANTS if name in found]:
        one = found[name]
        last = one["psnr"][max(one["psnr"], key=float)]
        table.add_row(
            name,
            f"{one['parameters']:,}",
            f"{one['images/s']:.0f}",
            *(
                f"{np.mean(list(one['psnr'][mark].values())):.2f}" if mark in one["psnr"] else ""
                for mark in seconds
            ),
            *(f"{last[task]:.2f}" for task in tasks),
        )
    Console(width=150).print(table)


if __name__ == "__main__":
    main()
