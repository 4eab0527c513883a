"""references@task: restore every held-out input of a task without training, by the task's reference.

The results are kept beside the pairs, so that no training of a model repeats it. A task without a reference
has an empty list.
"""

import sys
from dataclasses import replace

from PIL import Image

from drdd.data.library import Library
from drdd.data.pairs import HOLDOUT, write_pairs
from drdd.data.shards import table_of, writing
from drdd.files import atomic_folder
from drdd.params import Params
from drdd.pictures.files import png
from drdd.pictures.pixels import described
from drdd.progress import Reporter
from drdd.references.catalogue import REFERENCES as RESTORERS
from drdd.stages.paths import MEMBERS, REFERENCES
from drdd.stages.prepared import paired, whereabouts
from drdd.stages.run import run_stage


def references(params: Params, reporter: Reporter, name: str) -> None:
    """Write the restored pictures, and a table of (input, restored picture as target)."""
    reference = params.tasks[name].reference_name()
    held = paired([name], HOLDOUT) if reference else {name: []}
    library = Library(whereabouts(held))
    restored: dict[str, str] = {}  # by input: one may belong to several pairs
    with atomic_folder(REFERENCES / name) as folder, writing(folder) as writer:
        for done, pair in enumerate(held[name], 1):
            if reference and pair.input not in restored:
                pixels = RESTORERS[reference].restore(library.sides(pair)[1])
                picture = described(pair.name, png(pixels), Image.fromarray(pixels))
                if picture.id not in restored.values():
                    writer.write(table_of([picture]))
                restored[pair.input] = picture.id
            reporter.update(done, len(held[name]), "pictures")
        pairs = [replace(pair, target=restored[pair.input]) for pair in held[name]]
        write_pairs(folder / MEMBERS, pairs)


if __name__ == "__main__":
    task_name = sys.argv[1]
    run_stage(
        f"references@{task_name}",
        lambda params, reporter: references(params, reporter, task_name),
    )
