"""A project whose tasks are also judged on the 24 photographs that the base never saw.

`python -m benchmarks.unseen FOLDER` clones this folder's last commit into FOLDER, adds the photographs as a
corpus to its params.yaml, fetches them, and prepares the pairs. benchmarks.method, benchmarks.learning and
benchmarks.noise_stage then run in FOLDER, and write their results there.
"""

import argparse
import os
import subprocess
import sys
from pathlib import Path

import yaml

from drdd.base.photographs import listed
from infra.base.photographs import fetch

UNSEEN = {"source": "data/base/holdout", "max_side": 384, "holdout": 1.0}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.unseen")
    parser.add_argument("folder", type=Path)
    folder: Path = parser.parse_args().folder.resolve()
    subprocess.run(["git", "clone", "--quiet", "--", str(Path.cwd()), str(folder)], check=True)
    content = yaml.safe_load((folder / "params.yaml").read_text())
    content["corpora"]["unseen"] = UNSEEN
    for task in content["tasks"].values():
        task["corpora"].append("unseen")
    content["publish"]["registry"] = "published"
    (folder / "params.yaml").write_text(yaml.safe_dump(content, sort_keys=False))
    held_out = [photograph for photograph in listed() if photograph.split == "holdout"]
    if missing := fetch(folder / "data/base", held_out, lambda line: print(line, file=sys.stderr)):
        sys.exit(f"{len(missing)} photographs could not be fetched")
    environment = os.environ | {"PYTHONPATH": str(folder)}
    subprocess.run(["dvc", "repro", "references"], cwd=folder, env=environment, check=True)


if __name__ == "__main__":
    main()
