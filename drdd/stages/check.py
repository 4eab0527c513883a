"""check: validate params.yaml, and check that all corpora in it exist and both trainings can begin.

It also removes what was made of corpora and tasks that params.yaml no longer names. DVC leaves such folders
in place, so stages that depend on the folder above them would not see that something is gone.
"""

import shutil
from collections.abc import Collection
from pathlib import Path
from typing import Any

from drdd.errors import UserError
from drdd.files import exists, write_bytes, write_json
from drdd.methods import find
from drdd.params import Params
from drdd.params.data import SOURCE
from drdd.progress import Reporter
from drdd.sources.folders import unwatchable
from drdd.stages.paths import CORPORA, MEMBERS, PAIRS, PHOTOGRAPHS, REFERENCES, STARTS, SYNTHETIC
from drdd.stages.run import run_stage
from drdd.stages.starts import declared


def check(params: Params, reporter: Reporter) -> None:
    to_be_made = {PHOTOGRAPHS / name for name in params.photographs}
    to_be_made |= {SYNTHETIC / name for name in params.synthetic}
    named = {f"corpora.{name}.source": corpus.source for name, corpus in params.corpora.items()}
    for name, paired in params.paired.items():
        named |= {f"paired.{name}.input": paired.input, f"paired.{name}.target": paired.target}
    missing = [
        f"{key} = {source!r}: does not exist; name a folder, an s3:// prefix, an archive, a list or a "
        "table of images (data/photographs/<name> is made from what `photographs` lists, "
        "data/synthetic/<name> from what `synthetic` says)"
        for key, source in named.items()
        if "://" not in source and Path(source) not in to_be_made and not exists(source)
    ]
    missing += [
        f"{key} = {source!r}: a source is {SOURCE}"
        for key, source in named.items()
        if "://" in source and not source.startswith("s3://")
    ]
    local = (source for source in dict.fromkeys(named.values()) if "://" not in source)
    missing += filter(None, map(unwatchable, local))
    starts: dict[str, Any] = {"noise": None, "residual": None}  # None: the method has no such stage
    for stage in find(params.method).stages:
        try:
            starts[stage] = declared(params, stage)
        except UserError as error:
            missing.append(str(error))
    if missing:
        raise UserError("\n  ".join(["params.yaml:", *missing]))
    _remove_others(CORPORA, {*params.corpora, *params.paired})
    _remove_others(PAIRS, params.tasks)
    _remove_others(REFERENCES, params.tasks)
    for stage, start in starts.items():
        write_json(STARTS / f"{stage}.json", start)
    # It is constant, so a change of params reruns this stage and only those that read the change.
    write_bytes(Path("data/params.ok"), b"params.yaml is valid\n")


def _remove_others(folder: Path, named: Collection[str]) -> None:
    """Delete the outputs of a stage for names that are gone; a folder that no stage made stays."""
    for made in sorted(folder.glob(f"*/{MEMBERS}")):
        if made.parent.name not in named:
            shutil.rmtree(made.parent)


if __name__ == "__main__":
    run_stage("check", check)
