"""From the start of a training process to its first step: how long each phase takes.

`python -m benchmarks.starting BEGAN`, which `started` runs, does what a stage does in the workspace that
is the current folder, writes its `StartTimes` to stdout as JSON, and keeps nothing.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any


@dataclass(frozen=True)
class StartTimes:
    """Seconds since 1970 at which each phase ended.

    began: the process was asked for; imported: the stage's modules were; prepared: params were read and
    data found, so `fitted` was called; clustered: Ray was up; worked: the worker had its network;
    stepped: the first step was done, and its checkpoint whole.
    """

    began: float
    imported: float
    prepared: float
    clustered: float
    worked: float
    stepped: float

    def phases(self) -> dict[str, float]:
        """Seconds of each, then of all of them from the process's start and from `fitted`'s."""
        names = ("imports", "params and data", "Ray", "worker", "first step")
        ends = (self.began, self.imported, self.prepared, self.clustered, self.worked, self.stepped)
        each = {name: end - start for name, (start, end) in zip(names, pairwise(ends), strict=True)}
        return each | {"process": self.stepped - self.began, "fitted": self.stepped - self.prepared}


def started(environment: Mapping[str, str]) -> StartTimes:
    """Of a fresh process. environment: what it has besides this process's own."""
    command = [sys.executable, "-m", "benchmarks.starting", str(time.time())]
    out = subprocess.run(
        command, env={**os.environ, **environment}, stdout=subprocess.PIPE, check=True
    )
    return StartTimes(**json.loads(out.stdout))


class _Nobody:
    """A watcher that ignores the progress of training."""

    def begin(self, history: object) -> None:
        pass

    def report(self, progress: object) -> None:
        pass

    def say(self, sentence: str) -> None:
        print(sentence, file=sys.stderr)


def _measure(began: float) -> StartTimes:
    from drdd.cluster.connection import start_ahead

    start_ahead(cpus=1)
    import drdd.stages.train_noise  # noqa: F401
    from benchmarks.jobs import noise_job
    from drdd.cluster import launch
    from drdd.cluster.checkpoints import Checkpoints

    imported = time.time()
    batch = noise_job().params.train.noise.batch
    job = noise_job(images=2 * batch, checkpoint_every=batch, keep=9)
    prepared = time.time()
    whole, clustered = launch.ray_cluster, 0.0

    @contextmanager
    def told(cpus: int) -> Iterator[None]:
        nonlocal clustered
        with whole(cpus):
            clustered = time.time()
            yield

    vars(launch)["ray_cluster"] = told
    with (
        TemporaryDirectory() as folder,
        launch.fitted(job, "start", Path(folder), _Nobody()),
    ):
        checkpoints = Checkpoints(f"{folder}/start", keep=9)
        mark = checkpoints.marks()[0]
        stepped = (Path(folder) / "start" / mark.manifest).stat().st_mtime
        state: dict[str, Any] = checkpoints.state(mark)
    return StartTimes(
        began, imported, prepared, clustered, stepped - state["clock"]["seconds"], stepped
    )


if __name__ == "__main__":
    print(json.dumps(vars(_measure(float(sys.argv[1])))))
