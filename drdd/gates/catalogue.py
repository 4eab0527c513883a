"""The gates, in the order in which a person reads their verdicts; their bounds as sections of params."""

from drdd.gates import max_drop_vs_champion, max_latency_p95, min_psnr_gain
from drdd.gates.gate import Gate, RunGate, TaskGate
from drdd.gates.max_drop_vs_champion import MaxDropVsChampion
from drdd.gates.max_latency_p95 import MaxLatencyP95
from drdd.gates.min_psnr_gain import MinPsnrGain

TASK_GATES: dict[str, TaskGate] = {
    gate.name: gate for gate in (min_psnr_gain.GATE, max_drop_vs_champion.GATE)
}
RUN_GATES: dict[str, RunGate] = {gate.name: gate for gate in (max_latency_p95.GATE,)}


class TaskBounds(MaxDropVsChampion, MinPsnrGain):
    """What each entry of tasks may ask for; pydantic takes the fields of the last base first."""


class RunBounds(MaxLatencyP95):
    """What the section gates may ask for."""


def gate_of(name: str) -> Gate:
    """Of a gate that is not registered, such as of an older version: its name."""
    known = TASK_GATES.get(name) or RUN_GATES.get(name)
    return known or Gate(name=name, label=name.replace("_", " "), bound="at least")
