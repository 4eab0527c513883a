"""Training steps and 2 + 2-step sampling of the paper's networks and of the compact ones.

`python -m benchmarks.model` (`make bench-model`) times each beside a plain reference implementation
of the same network (reference_nets.py), turn by turn in the same run, and prints seconds and ratios.

--official PATH: a checkout of the authors' repository, whose networks are then timed too. Nothing of it
is needed otherwise. --compile: torch.compile as well (its compile time is told apart); on a GPU that is
the default, and compiled sampling replays CUDA graphs.
Results: benchmarks/results/model/<device>.json.
"""

import argparse
import json
import platform
import re
import statistics
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.official import OFFICIAL, authors_net
from benchmarks.reference_nets import ReferenceStep, reference_net
from drdd.methods import find
from drdd.methods.method import Sampling
from drdd.nets.adm import AdmConfig
from drdd.nets.compact import CompactConfig
from drdd.nets.families import NetworkConfig, build, for_inference, training_format
from drdd.nets.rddm import RddmConfig
from drdd.training.optimisation import computes_in_bf16, update_ema

RESULTS = Path("benchmarks/results/model")
NETS: dict[str, NetworkConfig] = {
    "residual, paper": RddmConfig(),
    "noise, paper": AdmConfig(6),
    "residual, compact": CompactConfig(6),
    "noise, compact": CompactConfig(3),
}
SAMPLING = Sampling("drdd", 1000, 1e-4, 0.02, False, 1.0, 2, 2, 0.0, "input", "paper")
UNCONDITIONED = Sampling("drdd", 1000, 1e-4, 0.02, True, 0.15, 2, 2, 0.0, "none", "paper")


@dataclass(frozen=True)
class Timed:
    """A thing to time. compiled: its first call compiles."""

    run: Callable[[], object]
    compiled: bool = False


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.model")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--official", type=Path, metavar="PATH")
    parser.add_argument("--compile", action="store_true")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    compiled = given.compile or device.type == "cuda"
    batch = 16 if device.type == "cuda" else 1
    cases = {
        f"training step, residual, paper, {batch} x 128 x 128": ("residual, paper", batch, 128),
        f"training step, noise, paper, {batch} x 128 x 128": ("noise, paper", batch, 128),
        "training step, residual, compact, 16 x 64 x 64": ("residual, compact", 16, 64),
    }
    pairs = {
        "2 + 2 steps, paper, 256 x 256": ("residual, paper", "noise, paper", SAMPLING),
        "2 + 2 steps, compact, 256 x 256": ("residual, compact", "noise, compact", UNCONDITIONED),
    }
    found: dict[str, Any] = {}
    for name, (net, batch, size) in cases.items():
        entries = training(net, batch, size, device, given.official, compiled)
        found[name] = measured(name, entries, given.repeats, device)
        found[name]["gflop"] = 3 * gflop(NETS[net], batch, size)
    for name, (residual, noise, sampling) in pairs.items():
        entries = sampling_of(residual, noise, sampling, 256, device, given.official, compiled)
        found[name] = measured(name, entries, given.repeats, device)
        found[name]["gflop"] = 2 * (gflop(NETS[residual], 1, 256) + gflop(NETS[noise], 1, 256))
    result = {
        "device": device_name(device),
        "torch": torch.__version__,
        "threads": given.threads,
        "matmul_gflops": matmul_rate(device),
        "cases": found,
        "accuracy": {name: accuracy(config) for name, config in NETS.items()},
    }
    RESULTS.mkdir(parents=True, exist_ok=True)
    path = RESULTS / f"{re.sub(r'[^a-z0-9]+', '-', str(result['device']).lower()).strip('-')}.json"
    path.write_text(json.dumps(result, indent=1) + "\n")
    print_tables(result)
    print(path)


def training(
    name: str, batch: int, size: int, device: torch.device, official: Path | None, compiled: bool
) -> dict[str, Timed]:
    """Forward, backward, clipping, AdamW and the average, in each implementation."""
    x = torch.rand(batch, NETS[name].in_channels, size, size, device=device) * 2 - 1
    time_ = torch.full((batch,), 500.0, device=device)
    target = torch.randn(batch, 3, size, size, device=device)

    def step(net: nn.Module, finish: Callable[[], None], bf16: bool) -> Callable[[], object]:
        def run() -> None:
            with torch.autocast(device.type, torch.bfloat16, enabled=bf16):
                loss = (net(x, time_).float() - target).square().mean()
            loss.backward()
            finish()

        return run

    def ours(bf16: bool, compile_: bool) -> Timed:
        net = build(NETS[name]).to(device)
        net = net.to(memory_format=training_format(net, device, bf16))  # type: ignore[call-overload]
        finish = OurStep(net)
        called: nn.Module = torch.compile(net) if compile_ else net  # type: ignore[assignment]
        return Timed(step(called, finish, bf16), compile_)

    reference = reference_net(build(NETS[name])).to(device)
    entries = {
        "plain": Timed(step(reference, ReferenceStep(reference), False)),
        "ours": ours(False, False),
    }
    if computes_in_bf16(device):
        entries["ours, bf16"] = ours(True, False)
    if compiled:
        bf16 = computes_in_bf16(device)
        entries["ours, bf16, compiled" if bf16 else "ours, compiled"] = ours(bf16, True)
    if official and name in OFFICIAL:
        theirs = authors_net(official, name).to(device)
        entries["official"] = Timed(step(theirs, ReferenceStep(theirs), False))
    return entries


class OurStep:
    """One step as the training loop takes it: fused AdamW, the average in one call."""

    def __init__(self, net: nn.Module) -> None:
        self._net = net
        self._optimizer = torch.optim.AdamW(net.parameters(), lr=1e-4, fused=True)
        self._average = {name: value.clone() for name, value in net.state_dict().items()}

    def __call__(self) -> None:
        nn.utils.clip_grad_norm_(self._net.parameters(), 1.0)
        self._optimizer.step()
        self._optimizer.zero_grad(set_to_none=True)
        update_ema(self._average, self._net, 0.995, 10_000)


def sampling_of(
    residual: str,
    noise: str,
    sampling: Sampling,
    size: int,
    device: torch.device,
    official: Path | None,
    compiled: bool,
) -> dict[str, Timed]:
    """The whole sampler on one picture, in each implementation."""
    degraded = torch.rand(1, 3, size, size, device=device) * 2 - 1
    noise_ = torch.randn_like(degraded)
    method = find(sampling.method)(sampling)
    nets = {"residual": build(NETS[residual]).eval().to(device)}
    nets["noise"] = build(NETS[noise]).eval().to(device)

    def run(
        nets: Mapping[str, Any], mode: Callable[[], AbstractContextManager[object]], bf16: bool
    ) -> Callable[[], Tensor]:
        def sample() -> Tensor:
            with mode(), torch.autocast(device.type, torch.bfloat16, enabled=bf16):
                *_, last = method.trajectory(nets, degraded, lambda purpose: noise_)
                return last.image

        return sample

    fast = {part: for_inference(net) for part, net in nets.items()}
    entries = {
        "plain": Timed(
            run({part: reference_net(net) for part, net in nets.items()}, torch.no_grad, False)
        ),
        "ours": Timed(run(fast, torch.inference_mode, False)),
    }
    bf16 = computes_in_bf16(device)
    if bf16:
        entries["ours, bf16"] = Timed(run(fast, torch.inference_mode, True))
    if compiled:
        # On a GPU this mode replays CUDA graphs.
        mode = "reduce-overhead" if device.type == "cuda" else "default"
        quick = {part: torch.compile(net, mode=mode) for part, net in fast.items()}
        name = "ours, bf16, compiled" if bf16 else "ours, compiled"
        entries[name] = Timed(run(quick, torch.no_grad, bf16), True)
    if official and residual in OFFICIAL:
        theirs = {
            part: authors_net(official, net)
            for part, net in (("residual", residual), ("noise", noise))
        }
        theirs = {part: net.eval().to(device) for part, net in theirs.items()}
        entries["official"] = Timed(run(theirs, torch.no_grad, False))
    return entries


def measured(
    name: str, entries: Mapping[str, Timed], repeats: int, device: torch.device
) -> dict[str, Any]:
    """Median seconds of each, and the median over rounds of plain's time divided by each one's."""
    firsts = {which: seconds(timed.run, device) for which, timed in entries.items()}
    rounds = []
    for turn in range(repeats):
        print(f"\r{name}: {turn + 1}/{repeats} ", end="", file=sys.stderr, flush=True)
        rounds.append({which: seconds(timed.run, device) for which, timed in entries.items()})
    print(file=sys.stderr)
    usual = {which: statistics.median(one[which] for one in rounds) for which in entries}
    return {
        "seconds": usual,
        "compile_seconds": {
            which: firsts[which] - usual[which]
            for which, timed in entries.items()
            if timed.compiled
        },
        "times_plain": {
            which: statistics.median(one["plain"] / one[which] for one in rounds)
            for which in entries
        },
        "times_official": {
            which: statistics.median(one["official"] / one[which] for one in rounds)
            for which in entries
            if "official" in entries
        },
        "rounds": rounds,
    }


def seconds(run: Callable[[], object], device: torch.device) -> float:
    wait: Callable[[], object] = torch.cuda.synchronize if device.type == "cuda" else nullcontext
    wait()
    begin = time.perf_counter()
    run()
    wait()
    return time.perf_counter() - begin


def gflop(config: NetworkConfig, batch: int, size: int) -> float:
    """Of one forward pass, counted; a training step is about three of them."""
    with torch.device("meta"):
        net = build(config)
        with FlopCounterMode(display=False) as counted:
            net(torch.empty(batch, config.in_channels, size, size), torch.empty(batch))
    return counted.get_total_flops() / 1e9


def matmul_rate(device: torch.device, side: int = 2048) -> float:
    """GFLOP/s of a large float32 matrix product: about what this machine can do at best."""
    a, b = torch.randn(2, side, side, device=device)
    best = min(seconds(lambda: a @ b, device) for _ in range(6))
    return 2 * side**3 / best / 1e9


@torch.no_grad()
def accuracy(config: NetworkConfig) -> dict[str, float]:
    """Largest error in float32 against plain in float64, relative to the largest output; on the CPU."""
    torch.manual_seed(0)
    net = build(config).eval()
    for parameter in net.parameters():  # no head of zeros
        if parameter.ndim > 1:
            nn.init.normal_(parameter, std=parameter[0].numel() ** -0.5)
    x, t = torch.rand(1, config.in_channels, 64, 64) * 2 - 1, torch.tensor([500.0])
    exact = reference_net(net).double()(x.double(), t.double())

    def error(y: Tensor) -> float:
        return float((y.double() - exact).abs().max() / exact.abs().max())

    return {"plain": error(reference_net(net)(x, t)), "ours": error(for_inference(net)(x, t))}


def device_name(device: torch.device) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{torch.backends.cpu.get_cpu_capability()} {platform.machine()} CPU"


def print_tables(result: Mapping[str, Any]) -> None:
    console = Console(width=150, highlight=False)
    console.print(
        f"{result['device']}, {result['threads']} threads, torch {result['torch']}, float32 matrix "
        f"product {result['matmul_gflops']:.0f} GFLOP/s"
    )
    table = Table(
        box=None, title="median of the rounds; ratios round by round", title_justify="left"
    )
    for heading in ("", "seconds", "times plain", "times official", "of matmul", "compile s"):
        table.add_column(heading, justify="left" if not heading else "right")
    for case, found in result["cases"].items():
        table.add_row(f"[bold]{case}[/], {found['gflop']:.0f} GFLOP")
        for which, taken in found["seconds"].items():
            official, first = (found[k].get(which) for k in ("times_official", "compile_seconds"))
            table.add_row(
                f"  {which}",
                f"{taken:.3f}",
                f"{found['times_plain'][which]:.2f}",
                f"{official:.2f}" if official else "",
                f"{found['gflop'] / taken / result['matmul_gflops']:.0%}",
                f"{first:.1f}" if first else "",
            )
    console.print(table)
    table = Table(box=None, title="largest error in float32, relative", title_justify="left")
    for heading in ("network", "plain", "ours"):
        table.add_column(heading)
    for name, errors in result["accuracy"].items():
        table.add_row(name, f"{errors['plain']:.1e}", f"{errors['ours']:.1e}")
    console.print(table)


if __name__ == "__main__":
    main()
