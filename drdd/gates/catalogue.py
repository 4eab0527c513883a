"""All gates, in the order of the report, and their bounds as sections of params."""

from drdd.gates import (
    max_drop_vs_champion,
    max_latency_p95,
    min_gain_over_reference,
    min_psnr_gain,
)
from drdd.gates.gate import Gate, RunGate, TaskGate
from drdd.gates.max_drop_vs_champion import MaxDropVsChampion
from drdd.gates.max_latency_p95 import MaxLatencyP95
from drdd.gates.min_gain_over_reference import MinGainOverReference
from drdd.gates.min_psnr_gain import MinPsnrGain

TASK_GATES: dict[str, TaskGate] = {
    gate.name: gate
    for gate in (min_psnr_gain.GATE, min_gain_over_reference.GATE, max_drop_vs_champion.GATE)
}
RUN_GATES: dict[str, RunGate] = {gate.name: gate for gate in (max_latency_p95.GATE,)}


class TaskBounds(MaxDropVsChampion, MinGainOverReference, MinPsnrGain):
    """The bounds in an entry of tasks; pydantic orders fields from the last base class on."""


class RunBounds(MaxLatencyP95):
    """The bounds in the section gates."""


def gate_of(name: str) -> Gate:
    """The gate called `name`. One that is not registered, as of an older version, has its name as label."""
    known = TASK_GATES.get(name) or RUN_GATES.get(name)
    return known or Gate(name=name, label=name.replace("_", " "), bound="at least")
