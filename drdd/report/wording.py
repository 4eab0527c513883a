"""The wording of metrics.json, shared by the terminal, the flow, the report and the card."""

from collections.abc import Sequence

from drdd.gates import min_psnr_gain
from drdd.gates.catalogue import gate_of
from drdd.gates.judgement import Judgement


def needed(judged: Judgement, task: str) -> str:
    """The gain that a task must show, such as "+1.50"."""
    found = [g for g in judged.gates_of(task) if g.gate == min_psnr_gain.GATE.name]
    return f"{found[0].needed:+.2f}" if found else "none"


def verdict(judged: Judgement, task: str) -> str:
    """The verdict of a task: "passed", "not gated", or `missed` of the last gate that it missed."""
    if not judged.tasks[task].gated:
        return "not gated"
    failed = [gate_of(g.gate).missed for g in judged.gates_of(task) if not g.passed]
    return failed[-1] if failed else "passed"


def outcome(judged: Judgement, alias: str, reasons: Sequence[str]) -> str:
    """A line for the user. reasons: why the alias did not move."""
    said = f"alias {alias} moved"
    if reasons:
        what = "gate missed" if judged.missed else "not promoted"
        said = f"{what}: {', '.join(reasons)}, alias {alias} not moved"
    return "; ".join([said, *judged.notes])


def against_champion(judged: Judgement, task: str) -> str:
    """Such as "-0.12 dB (-0.30 to +0.05)", or why there is no comparison."""
    one = judged.tasks[task].champion
    if one is None:
        return ""
    if one.drop is None:
        return one.verdict
    said = f"{-one.drop:+z.2f} dB"
    if one.interval:
        low, high = one.interval
        said += f" ({-high:+z.2f} to {-low:+z.2f})"
    return said
