"""judge: what was measured becomes verdicts, against the gates and the champion, and a report."""

import json
from pathlib import Path

import numpy as np
import pandas as pd

from drdd.data.pairs import HOLDOUT
from drdd.evaluation.side_by_side import Comparison, read_comparison
from drdd.evaluation.trajectories import read_trajectories
from drdd.files import write_bytes, write_json
from drdd.gates.catalogue import RUN_GATES, TASK_GATES
from drdd.gates.gate import RunEvidence
from drdd.gates.judgement import Judgement
from drdd.params import FILE, Params
from drdd.progress import Reporter
from drdd.registry.differences import changes, flat
from drdd.report.findings import Findings
from drdd.report.judgement import Expected, headline, judgement
from drdd.report.report import write_report
from drdd.shown import short
from drdd.stages.champion import Champion, find_champion
from drdd.stages.paths import (
    COMPARISON,
    CURVE,
    GAIN,
    IMAGES,
    LATENCY,
    METRICS,
    REPORT,
    SETS,
    SUMMARY,
    TRAJECTORIES,
)
from drdd.stages.prepared import paired
from drdd.stages.provenance import corpus_cards, provenance, task_cards, trained
from drdd.stages.run import run_stage


def judge(params: Params, reporter: Reporter) -> None:
    scores, latency = pd.read_parquet(IMAGES), pd.read_parquet(LATENCY)
    measured = json.loads(SETS.read_text())
    champion = find_champion(params)
    metrics = judgement(
        scores,
        measured,
        _expected(params),
        champion.record if champion else None,
        RunEvidence(latency_p95=float(np.quantile(latency["seconds"], 0.95))),
        {name: gate.needed(params.gates) for name, gate in RUN_GATES.items()},
    )
    write_json(METRICS, metrics.content())
    write_json(SUMMARY, headline(metrics))
    gains = [(name, result.gain["psnr_rgb"]) for name, result in metrics.tasks.items()]
    table = pd.DataFrame(gains, columns=["task", "psnr_gain"])
    write_bytes(GAIN, table.to_csv(index=False).encode())
    write_report(REPORT, _findings(params, metrics, scores, latency, champion))


def _expected(params: Params) -> dict[str, Expected]:
    """A task is gated when the inputs and targets of all its pairs show the same scenes."""
    return {
        name: Expected(
            pairs=[(pair.input, pair.target) for pair in pairs],
            bounds={gate.name: gate.needed(params.tasks[name]) for gate in TASK_GATES.values()},
            gated=all(params.paired[one].aligned for one in params.tasks[name].paired),
            reference=params.tasks[name].reference_name(),
        )
        for name, pairs in paired(params.tasks, HOLDOUT).items()
    }


def _comparison(champion: Champion | None) -> Comparison:
    """What compare made, unless the alias has moved since."""
    found, version = read_comparison(COMPARISON), champion.record.version if champion else None
    if found.champion == version:
        return found
    then = short(found.champion) if found.champion else "no champion"
    return Comparison(
        version,
        (
            f"no pictures beside the champion's: the alias has moved since they were made, for {then}; "
            "`dvc repro -f -s compare`, then `dvc repro`, makes them anew",
        ),
    )


def _findings(
    params: Params,
    metrics: Judgement,
    scores: pd.DataFrame,
    latency: pd.DataFrame,
    champion: Champion | None,
) -> Findings:
    comparison = _comparison(champion)
    return Findings(
        metrics=metrics,
        scores=scores,
        latency=latency,
        champion_scores=champion.record.scores if champion else None,
        beside=comparison.pictures,
        beside_notes=comparison.notes,
        trajectories=read_trajectories(TRAJECTORIES),
        curves={stage: pd.read_csv(folder / CURVE) for stage, folder in trained(params)},
        corpora=corpus_cards(),
        tasks=task_cards(params),
        params_diff=[] if champion is None else _params_diff(champion, params),
        provenance=provenance(params),
        params=Path(FILE).read_text(),
    )


def _params_diff(champion: Champion, params: Params) -> list[tuple[str, str, str]]:
    then, now = flat(champion.params), flat(params.model_dump(mode="json"))
    return [(one.key, _shown(one.old), _shown(one.new)) for one in changes(then, now)]


def _shown(value: object) -> str:
    return "" if value is None else str(value)


if __name__ == "__main__":
    run_stage("judge", judge)
