"""The content of a report: verdicts, metrics, trajectories and provenance."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from drdd.evaluation.side_by_side import SideBySide
from drdd.evaluation.trajectories import Trajectory
from drdd.gates.judgement import Judgement


@dataclass(frozen=True)
class Findings:
    """metrics: metrics.json; scores, champion_scores: as in images.parquet.

    beside: pictures by the champion and by the candidate, the worst loss first; beside_notes: sentences on
    what is missing of them; trajectories: by task;
    curves: by stage in words, columns images (seen) and loss;
    corpora: the card.json of each with its counts in the split (train, holdout, leaked);
    tasks: the card.json of each prepare; params_diff: (dotted key, the champion's value, this one's),
    "" if a side lacks the key; provenance: the list at the end; params: text of params.yaml.
    """

    metrics: Judgement
    scores: pd.DataFrame
    latency: pd.DataFrame
    champion_scores: pd.DataFrame | None
    beside: Sequence[SideBySide]
    beside_notes: Sequence[str]
    trajectories: Mapping[str, Sequence[Trajectory]]
    curves: Mapping[str, pd.DataFrame]
    corpora: Sequence[Mapping[str, Any]]
    tasks: Sequence[Mapping[str, Any]]
    params_diff: Sequence[tuple[str, str, str]]
    provenance: Mapping[str, str]
    params: str
