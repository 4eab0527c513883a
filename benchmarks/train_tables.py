"""What benchmarks.train found, as tables. Overheads at the plan of params.yaml, ratios round by round."""

from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.baseline_loop import LAP
from benchmarks.interleaved import Ratio, ratio
from benchmarks.jobs import noise_job
from drdd.training.loop import Plan

Rounds = Sequence[Sequence[float]]


def show(result: Mapping[str, Any]) -> None:
    console = Console(width=120, highlight=False)
    versions = ", ".join(f"{name} {version}" for name, version in result["versions"].items())
    console.print(f"{result['device']}, {versions}, load {result['load at the start'][0]:.1f}")
    plan = Plan.of(noise_job(validated=True).params.train.noise)
    for threads in (1, 2):
        found = result[f"{threads} threads"]
        table = _table(f"1 worker of {threads} thread(s)", "s a step", "over bare", "least", "most")
        for name, laps in overheads(found, plan).items():
            of = ratio(laps, found["bare"])
            seconds = median(lap for turn in laps for lap in turn)
            table.add_row(
                name, f"{seconds:.4f}", *(f"{part - 1:+.1%}" for part in vars(of).values())
            )
        console.print(table)
    table = _table("2 workers of 1 thread, images/s", "ratio", "least", "most")
    for name, of in scaling(result["2 threads"]).items():
        table.add_row(name, *(f"{part:.3f}" for part in vars(of).values()))
    console.print(table)
    phases = list(result["start"]["private cluster"][0])
    table = _table("from start to first step, s", *phases)
    for cluster, starts in result["start"].items():
        for start in starts:
            table.add_row(cluster, *(f"{start[phase]:.1f}" for phase in phases))
    console.print(table)
    console.print(*sentences(result, plan), sep="\n")


def overheads(found: Mapping[str, Any], plan: Plan) -> dict[str, list[list[float]]]:
    """Seconds a step of every lap by round, each row with one thing more than the one before.

    A checkpoint's share is that of a lap with one over the others, spread over the steps between two;
    a point's is the time between two laps.
    """
    runs = found["fitted"]
    plain = [run["plain"] for run in runs]
    saves = [LAP * (median(run["saving"]) - median(run["plain"])) / plan.checkpoint for run in runs]
    points = [run["between"] / plan.point for run in runs]
    return {
        "bare": found["bare"],
        "our loop, in this process alone": found["loop"],
        "the same at the nice value of Ray's workers": found["loop, niced"],
        "in a Ray worker": plain,
        "and checkpoints": _more(plain, saves),
        "and points, told to the driver": _more(_more(plain, saves), points),
    }


def _more(laps: Rounds, by: Sequence[float]) -> list[list[float]]:
    return [[lap + more for lap in turn] for turn, more in zip(laps, by, strict=True)]


def scaling(found: Mapping[str, Any]) -> dict[str, Ratio]:
    """Of images a second: 2 workers of 1 thread over one process of 2 threads."""
    two = [run["plain"] for run in found["fitted, 2 workers"]]
    one = [run["plain"] for run in found["fitted"]]
    return {"over 1 worker of 2 threads": ratio(one, two), "over bare": ratio(found["bare"], two)}


def sentences(result: Mapping[str, Any], plan: Plan) -> list[str]:
    costs = result["costs"]
    said = []
    for threads, name in ((1, "fitted"), (2, "fitted"), (2, "fitted, 2 workers")):
        runs = result[f"{threads} threads"][name]
        shares = [share for run in runs for share in run["waiting"]]
        between = median(run["between"] for run in runs)
        added = median(LAP * (median(run["saving"]) - median(run["plain"])) for run in runs)
        nice = sorted({nice for run in runs for nice in run["niceness"]})
        said.append(
            f"{name}, {threads} core(s): steps waited {median(shares):.2%} of the time (most "
            f"{max(shares):.2%}); a checkpoint added {1e3 * added:.0f} ms to its lap, a point "
            f"{1e3 * between:.0f} ms after it; workers ran at nice {nice}"
        )
    said.append(
        f"a checkpoint of {costs['mb']:.1f} MB, alone: {1e3 * costs['submitted']:.1f} ms on the "
        f"training thread, {1e3 * costs['saved']:.0f} ms in its own; every {plan.checkpoint} steps"
    )
    said.append(f"a validation: {costs['validated']:.2f} s, every {plan.validation} steps")
    return said


def _table(title: str, *headings: str) -> Table:
    table = Table(box=None, title=title, title_justify="left")
    table.add_column("")
    for heading in headings:
        table.add_column(heading, justify="right")
    return table
