"""split: divide the pictures of all corpora into training and held-out ones, and remove leaks."""

from collections.abc import Iterator, Mapping, Sequence

import pandas as pd

from drdd.data.pairs import HOLDOUT, TRAIN, Pair, read_pairs, write_pairs
from drdd.data.shards import read_known, thumbnail_of
from drdd.errors import UserError
from drdd.files import atomic_folder, write_bytes, write_json
from drdd.intake.split import Leak, hold_out, leaks
from drdd.params import Params
from drdd.params.data import Origin
from drdd.progress import Reporter
from drdd.stages.paths import CORPORA, MEMBERS, SPLIT, UNPAIRED, UNPAIRED_HELD_OUT
from drdd.stages.run import run_stage

Members = Mapping[str, Sequence[Pair]]  # by corpus, clean or paired


def split(params: Params, reporter: Reporter) -> None:
    members = _members(params)
    every = [pair for pairs in members.values() for pair in pairs]
    known = read_known([CORPORA / name for name in members]).select(["id", "thumbnail"])
    thumbnails = {row["id"]: thumbnail_of(row["thumbnail"]) for row in known.to_pylist()}
    found = leaks(every, thumbnails, params.ingest.near_duplicates)
    leaked = {leak.training for leak in found}
    kept = {name: [p for p in pairs if p not in leaked] for name, pairs in members.items()}
    noise = params.train.noise.corpora or sorted(params.corpora)
    clean = [pair for name in sorted(noise) for pair in kept[name]]
    unpaired = [pair for pair in clean if pair.split == TRAIN]
    _refuse_holes(params, kept)
    with atomic_folder(SPLIT) as folder:
        for name, task in params.tasks.items():
            pairs = [p for corpus in task.paired or task.corpora for p in kept[corpus]]
            write_pairs(folder / "tasks" / f"{name}.csv", pairs)
        write_bytes(folder / "leakage.csv", _table(found).to_csv(index=False).encode())
        write_json(
            folder / "card.json",
            {name: _counts(pairs, members[name]) for name, pairs in kept.items()},
        )
    with atomic_folder(UNPAIRED.parent) as folder:
        write_pairs(folder / UNPAIRED.name, unpaired)
        held_out = [pair for pair in clean if pair.split == HOLDOUT]
        write_pairs(folder / UNPAIRED_HELD_OUT.name, held_out)
    note = f"{len(unpaired)} pictures for the noise stage, {_held(every)} held out"
    if found:
        first = found[0]
        note += (
            f", {len(found)} kept out of training because they show what is held out (see "
            f"{SPLIT / 'leakage.csv'}), first {first.training.image} like {first.held_out.image}"
        )
    reporter.finish("done", note)


def _members(params: Params) -> dict[str, list[Pair]]:
    """The pairs of every corpus with their side. Raises UserError, which lists all unknown names."""
    members, wrong = {}, []
    for key, name, origin in _origins(params):
        pairs = read_pairs(CORPORA / name / MEMBERS)
        try:
            members[name] = hold_out(pairs, origin.holdout, f"{key}.holdout")
        except UserError as error:
            wrong.append(str(error))
    if wrong:
        raise UserError("\n".join(wrong))
    return members


def _origins(params: Params) -> Iterator[tuple[str, str, Origin]]:
    """(key in params, name, entry) of every corpus, clean or paired."""
    for section in ("corpora", "paired"):
        for name, origin in sorted(getattr(params, section).items()):
            yield f"{section}.{name}", name, origin


def _refuse_holes(params: Params, kept: Members) -> None:
    """Raises UserError, which lists all corpora and tasks without training or held-out pictures."""
    said = []
    for name, task in params.tasks.items():
        corpora = task.paired or task.corpora
        section = "paired" if task.paired else "corpora"
        sides = {pair.split for corpus in corpora for pair in kept[corpus]}
        listed = f"tasks.{name}: none of its {section} ({', '.join(corpora)})"
        if HOLDOUT not in sides:
            said.append(
                f"{listed} holds a picture out to judge it by; set {section}.<name>.holdout"
            )
        if TRAIN not in sides:
            said.append(f"{listed} has a picture to train on; lower {section}.<name>.holdout")
    if said:
        raise UserError("\n  ".join(["params.yaml:", *said]))


def _table(found: Sequence[Leak]) -> pd.DataFrame:
    columns = ["training", "held_out", "difference"]
    rows = [(leak.training.image, leak.held_out.image, round(leak.difference, 4)) for leak in found]
    return pd.DataFrame(rows, columns=columns)


def _counts(kept: Sequence[Pair], members: Sequence[Pair]) -> dict[str, int]:
    held = sum(pair.split == HOLDOUT for pair in kept)
    return {"train": len(kept) - held, "holdout": held, "leaked": len(members) - len(kept)}


def _held(every: Sequence[Pair]) -> int:
    return sum(pair.split == HOLDOUT for pair in every)


if __name__ == "__main__":
    run_stage("split", split)
