"""What a report tells, gathered: numbers, pictures on their way through the model, where all comes from."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]

FIRST, WORST = "first", "worst"
DERESIDUAL, DENOISE, ESTIMATE = "de-residual", "de-noise", "estimate"


@dataclass(frozen=True)
class Strip:
    """One held-out picture's way through the model, (H, W, 3) uint8 each.

    kind: FIRST for those that a report begins with, WORST for those that gained least.
    states: by name, in order: "noised input", "de-residual 1", ..., "estimate", "de-noise 1", ...;
    the last one is the output. psnr in dB, RGB.
    """

    task: str
    image: str
    kind: str
    input: Pixels
    output: Pixels
    target: Pixels
    states: tuple[tuple[str, Pixels], ...]
    input_psnr: float
    output_psnr: float

    @property
    def gain(self) -> float:
        """dB over the input."""
        return self.output_psnr - self.input_psnr

    @property
    def deresidual(self) -> Pixels | None:
        """The state after the residual part, still in fixed noise; None where a method has none."""
        states = [pixels for name, pixels in self.states if name.startswith(f"{DERESIDUAL} ")]
        return states[-1] if states else None


@dataclass(frozen=True)
class Findings:
    """metrics: as in metrics.json; scores, champion_scores: as in images.parquet.

    strips: by task; curves: by stage in words, columns images (seen) and loss;
    corpora: the card.json of each with its counts in the split (train, holdout, leaked);
    tasks: the card.json of each prepare; params_diff: (dotted key, the champion's value, this one's),
    "" where a side has no such key; provenance: what is listed at the end; params: params.yaml's text.
    """

    metrics: Mapping[str, Any]
    scores: pd.DataFrame
    champion_scores: pd.DataFrame | None
    strips: Mapping[str, Sequence[Strip]]
    curves: Mapping[str, pd.DataFrame]
    corpora: Sequence[Mapping[str, Any]]
    tasks: Sequence[Mapping[str, Any]]
    params_diff: Sequence[tuple[str, str, str]]
    provenance: Mapping[str, str]
    params: str
