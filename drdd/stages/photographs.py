"""photographs: copy the photographs that installed packages bundle to data/photographs/<name>."""

import shutil
from pathlib import Path

from drdd.errors import UserError
from drdd.files import atomic_path
from drdd.params import Params
from drdd.progress import Reporter
from drdd.sources.packages import package_file
from drdd.stages.paths import PHOTOGRAPHS
from drdd.stages.run import run_stage


def photographs(params: Params, reporter: Reporter) -> None:
    PHOTOGRAPHS.mkdir(parents=True, exist_ok=True)
    for folder, names in params.photographs.items():
        files = [Path(name).name for name in names]
        if twice := sorted({name for name in files if files.count(name) > 1}):
            raise UserError(
                f"photographs.{folder}: more than one file would become {', '.join(twice)}"
            )
        for source in map(package_file, names):
            with atomic_path(PHOTOGRAPHS / folder / source.name) as temporary:
                shutil.copyfile(source, temporary)


if __name__ == "__main__":
    run_stage("photographs", photographs)
