"""A training run in a process of its own: python -m tests.cluster.lone <job> <name> <what is written>.

job: a pickled Job. Written at the end: when each point came, in seconds since the epoch, and its images.
"""

import json
import pickle
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from drdd.cluster import launch
from drdd.training.history import Point, Progress
from drdd.training.job import Job

LOOK_S = 3.0


class Watched:
    """Remembers all that training tells."""

    def __init__(self) -> None:
        self.began: list[Sequence[Point]] = []
        self.seen: list[tuple[float, Progress]] = []
        self.said: list[str] = []

    @property
    def images(self) -> int:
        return self.seen[-1][1].images if self.seen else 0

    def begin(self, history: Sequence[Point]) -> None:
        self.began.append(list(history))

    def report(self, progress: Progress) -> None:
        self.seen.append((time.time(), progress))

    def say(self, sentence: str) -> None:
        self.said.append(sentence)


def run(job: Job, name: str, out: Path) -> None:
    watched = Watched()
    launch.GROW_S = LOOK_S
    with launch.fitted(job, name, Path("checkpoints"), watched):
        out.write_text(json.dumps([(at, progress.images) for at, progress in watched.seen]))


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background ignores it
    run(pickle.loads(Path(sys.argv[1]).read_bytes()), sys.argv[2], Path(sys.argv[3]))
