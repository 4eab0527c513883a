"""One file of the project is edited at a time: which stages DVC then calls changed."""

from collections.abc import Iterator
from contextlib import chdir
from pathlib import Path
from typing import Any

import pytest

from tests.project import make_project, tiny_params

TRAIN = {"train_noise", "train_residual"}
INGEST = {"ingest@nature", "ingest@leaves"}
JUDGE = {"judge", "publish"}
RESTORE = {"evaluate", "compare"}
LEARN = {*TRAIN, *RESTORE}
REFERENCES = {"references@haze", "references@noise"}
EXPECTED: dict[str, set[str]] = {
    # What carries, shows or judges trains and restores nothing.
    "drdd/serving/templates/page.css": set(),
    "drdd/serving/http.py": set(),
    "drdd/cluster/launch.py": set(),
    "drdd/cluster/checkpoints.py": set(),
    "drdd/cluster/live.py": set(),
    "drdd/storage/objects.py": set(),
    "drdd/registry/registry.py": set(),
    "drdd/progress.py": set(),
    "drdd/errors.py": set(),
    "drdd/cli/restore.py": set(),
    # What a training begins from: `check` passes on the hashes of what `start` names, and of nothing else.
    "drdd/base/photographs.csv": {"check"},
    "pretrained/README.md": {"check"},
    "drdd/batch/run.py": set(),
    "drdd/params/errors.py": set(),
    "flows/pipeline.py": set(),
    "infra/local/stack.py": set(),
    "drdd/report/templates/report.html.j2": JUDGE,
    "drdd/gates/min_psnr_gain.py": JUDGE,
    "drdd/references/haze.py": REFERENCES,
    "drdd/stages/references.py": REFERENCES,
    # What decides: exactly the stages that use it.
    "data/starts/noise.json": {"check", "train_noise"},
    "data/starts/residual.json": {"check", "train_residual"},
    "drdd/stages/starts.py": TRAIN,
    "drdd/training/order.py": TRAIN,
    "drdd/training/loop.py": TRAIN,
    "drdd/training/optimisation.py": TRAIN,
    "drdd/data/loader.py": {*INGEST, "split", "prepare@haze", "prepare@noise", *REFERENCES, *LEARN},
    "drdd/diffusion/process.py": LEARN,
    "drdd/diffusion/sampler.py": LEARN,
    "drdd/methods/drdd.py": LEARN,
    "drdd/nets/compact.py": LEARN,
    "drdd/inference/tiling.py": RESTORE,
    "drdd/metrics/niqe.py": {"evaluate", *JUDGE},
    "drdd/metrics/fidelity.py": {*LEARN, *JUDGE},
    "drdd/degradations/weather.py": {"prepare@haze", "prepare@noise"},
    "drdd/degradations/corruption.py": {"prepare@haze", "prepare@noise", *TRAIN},
    "drdd/intake/near_duplicates.py": {*INGEST, "split", "evaluate"},
    "drdd/sources/archives.py": {"photographs", *INGEST},
    "drdd/stages/prepare.py": {"prepare@haze", "prepare@noise"},
    "drdd/synthetic/dead_leaves.py": {"synthetic@leaves"},
    "drdd/synthetic/night_sky.py": {"synthetic@leaves"},
}


@pytest.fixture(scope="module")
def repo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A tiny project whose stages are all up to date, without having run: outputs are stand-ins."""
    from dvc.repo import Repo

    content = tiny_params()
    content["synthetic"] = {"leaves": {"kind": "dead_leaves", "count": 2}}
    content["corpora"]["leaves"] = {"source": "data/synthetic/leaves"}
    root = make_project(tmp_path_factory.mktemp("project"), content)
    with chdir(root), Repo() as repo:
        for one in (*repo.index.outs, *repo.index.deps):
            _stand_in(Path(one.fs_path))
        repo.commit(force=True)
        assert repo.status() == {}
        yield repo


def _stand_in(path: Path) -> None:
    """A file, or a folder with one, where there is nothing."""
    if path.exists():
        return
    file = path if path.suffix else path / "stand-in"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(f"{path.name}\n")


@pytest.mark.parametrize("name", EXPECTED)
def test_an_edit_reruns_exactly_what_it_decides(repo: Any, name: str) -> None:
    path = Path(repo.root_dir) / name
    before = path.read_bytes()
    path.write_bytes(before + b"\n")
    try:
        assert set(repo.status()) == EXPECTED[name]
    finally:
        path.write_bytes(before)
