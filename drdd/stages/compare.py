"""compare: the held-out pictures that lost most against the champion, restored by both models.

What the alias points to is no dependency, as in champion.py. judge shows the pictures only if they are
of the champion that it compares with.
"""

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pandas as pd
from ray.exceptions import RayError
from ray.serve.exceptions import RayServeException

from drdd.checkpoints.folder import TaskUse, load_model
from drdd.cluster.connection import ray_cluster
from drdd.data.library import Library
from drdd.data.pairs import HOLDOUT, Pair, read_pairs
from drdd.errors import UserError
from drdd.evaluation.side_by_side import Comparison, SideBySide, write_comparison
from drdd.inference.options import Options
from drdd.metrics.fidelity import psnr_rgb
from drdd.params import Params
from drdd.pictures.files import covering
from drdd.pictures.pixels import Pixels
from drdd.progress import Reporter
from drdd.registry.location import cached, reachable
from drdd.report.comparison import ChampionRecord, losses
from drdd.serving.app import candidate
from drdd.stages.champion import find_champion
from drdd.stages.paths import CANDIDATE, COMPARISON, IMAGES, MEMBERS, REFERENCES, SETS
from drdd.stages.prepared import paired, whereabouts
from drdd.stages.run import run_stage
from drdd.storage.versions import addresses, shared_folder

SHOWN = 3  # pictures of a task
NOTICED = 0.1  # dB; kernels of another machine change less
FAILURES = (UserError, RayError, RayServeException)  # of a model that does not load or restore


@dataclass(frozen=True)
class _Chosen:
    """A picture to be shown. then: dB that the champion had on it when it was evaluated, None if it was not
    evaluated on it.
    """

    task: str
    pair: Pair
    input_psnr: float
    then: float | None


def compare(params: Params, reporter: Reporter) -> None:
    champion = find_champion(params)
    found = Comparison(None)
    if champion is not None:
        found = _compared(params, champion.record, reporter)
    for note in found.notes:
        reporter.say(note)
    write_comparison(COMPARISON, found)


def _compared(params: Params, champion: ChampionRecord, reporter: Reporter) -> Comparison:
    """That a champion does not load or restore any more is a note, and fails nothing."""
    try:
        with reachable(params.publish.registry):
            folder = cached(champion.version, params.publish.registry)
        learned = load_model(folder).tasks
    except FAILURES as error:
        return _without(champion, error)
    ours = load_model(CANDIDATE).tasks
    chosen, notes = _choose(champion, learned)
    if not chosen:
        return Comparison(champion.version, tuple(notes))
    library, references = _sources(chosen)
    degraded = [(one.task, library.pixels(one.pair.input)) for one in chosen]
    restored: list[Pixels] = []

    def add(output: Pixels) -> None:
        restored.append(output)
        reporter.update(len(restored), 2 * len(chosen), "pictures")

    with ray_cluster(cpus=1):
        try:
            _restore(folder, learned, degraded, params, add)
        except FAILURES as error:
            return _without(champion, error)
        _restore(CANDIDATE, ours, degraded, params, add)
    pictures = []
    for one, before, after in zip(
        chosen, restored[: len(chosen)], restored[len(chosen) :], strict=True
    ):
        if before.shape == after.shape:
            shown = _shown(one, before, after, library, references, params.metrics.crop_border)
            pictures.append(shown)
            notes += _otherwise(one, shown)
        else:
            sizes = [f"{x.shape[1]} x {x.shape[0]}" for x in (before, after)]
            said = "no pictures, as the champion's are of {} pixels and the candidate's of {}"
            notes.append(f"{one.task}: {said.format(*sizes)}")
    return Comparison(champion.version, tuple(dict.fromkeys(notes)), tuple(pictures))


def _otherwise(one: _Chosen, shown: SideBySide) -> list[str]:
    """A note where the champion does not restore as when it was evaluated: its scores are of other code."""
    if one.then is None or abs(shown.champion_psnr - one.then) <= NOTICED:
        return []
    return [
        f"{one.task}, {one.pair.image}: the champion has {shown.champion_psnr:.2f} dB here and had "
        f"{one.then:.2f} when it was evaluated, by other code or on another machine; "
        "the table has the latter"
    ]


def _shown(
    one: _Chosen,
    before: Pixels,
    after: Pixels,
    library: Library,
    references: Mapping[tuple[str, str], str],
    crop_border: int,
) -> SideBySide:
    clean, degraded = library.sides(one.pair)
    kept, target = slice(crop_border, -crop_border or None), covering(clean, after.shape)
    reference = references.get((one.task, one.pair.input))
    return SideBySide(
        task=one.task,
        image=one.pair.image,
        variant=one.pair.variant,
        input=covering(degraded, after.shape),
        champion=before,
        candidate=after,
        target=target,
        reference=None if reference is None else covering(library.pixels(reference), after.shape),
        input_psnr=one.input_psnr,
        champion_psnr=psnr_rgb(before[kept, kept], target[kept, kept]),
        candidate_psnr=psnr_rgb(after[kept, kept], target[kept, kept]),
        held_out=one.then is not None,
    )


def _without(champion: ChampionRecord, error: Exception) -> Comparison:
    said = str(error).splitlines()[0]
    note = f"no pictures beside the champion's, as its model does not restore any more: {said}"
    return Comparison(champion.version, (note,))


def _choose(champion: ChampionRecord, learned: Collection[str]) -> tuple[list[_Chosen], list[str]]:
    """The pictures to be shown, and notes. learned: the tasks of the champion's model."""
    scores, protocol = pd.read_parquet(IMAGES), json.loads(SETS.read_text())["protocol"]
    chosen, notes = [], []
    for task, held in paired(scores["task"].unique(), HOLDOUT).items():
        if task not in learned:
            notes.append(f"{task}: no pictures, as the champion has not learned this task")
            continue
        rows, why = losses(task, scores[scores["task"] == task], champion, protocol)
        if why:
            notes.append(f"{task}: {why}; shown are the pictures that gained least over the input")
        pairs = {(pair.input, pair.target): pair for pair in held}
        for row in rows.head(SHOWN).to_dict("records"):
            pair = pairs[row["input_id"], row["target_id"]]
            then = None if why else float(row["output_psnr_rgb_before"])
            chosen.append(_Chosen(task, pair, float(row["input_psnr_rgb"]), then))
    return chosen, notes


def _sources(chosen: Sequence[_Chosen]) -> tuple[Library, dict[tuple[str, str], str]]:
    """Where the pictures are; and by task and id of an input, the id of what the reference makes of it."""
    groups: dict[str, list[Pair]] = {}
    for one in chosen:
        groups.setdefault(one.task, []).append(one.pair)
    references = {
        (task, pair.input): pair.target
        for task in groups
        for pair in read_pairs(REFERENCES / task / MEMBERS)
    }
    return Library(
        [*whereabouts(groups), *addresses(REFERENCES / task for task in groups)]
    ), references


def _restore(
    model: Path,
    tasks: Mapping[str, TaskUse],
    degraded: Sequence[tuple[str, Pixels]],
    params: Params,
    add: Callable[[Pixels], None],
) -> None:
    """Restore (task, picture) one by one, with a model that is deployed as for evaluation."""
    with candidate(model, params.serve, partial(shared_folder, "candidates")) as handle:
        for task, pixels in degraded:
            options = Options(scale=tasks[task].scale)
            (restoration,) = handle.restore_batch.remote([pixels], options).result()
            add(restoration.output)


if __name__ == "__main__":
    run_stage("compare", compare)
