"""How runs with fewer workers than they wish for share a cluster.

Ray Train reserves whatever the first run asks for, so that one which comes later waits for its end. Here
each run asks for its fair share alone, which its controller works out anew whenever Ray Train looks.
What a run wishes is the name of its mailbox, which Ray lists for as long as the run's driver lives.
"""

import json
import time
import uuid
from collections.abc import Sequence
from dataclasses import astuple, dataclass
from typing import TYPE_CHECKING

import ray
from ray.train.v2.api.config import ScalingConfig

from drdd.cluster.channel import NAMESPACE

if TYPE_CHECKING:
    from drdd.params import TrainStage


@dataclass(frozen=True, order=True)
class Wish:
    """Of one run. began: nanoseconds since the epoch; least, most: workers; cpus, gpus: of each."""

    began: int
    key: str
    least: int
    most: int
    cpus: float
    gpus: float

    @classmethod
    def of(cls, settings: "TrainStage") -> "Wish":
        least = settings.min_workers or settings.workers
        key = uuid.uuid4().hex
        return cls(time.time_ns(), key, least, settings.workers, settings.threads, settings.gpus)

    @property
    def name(self) -> str:
        return json.dumps(astuple(self))


def fair_shares(wishes: Sequence[Wish], cpus: float, gpus: float) -> dict[Wish, int]:
    """The workers of each, by dominant resource fairness (Ghodsi et al., NSDI 2011).

    The oldest get their least first, and 0 where it does not fit; then the run whose share of the
    resource that it uses most of is the smallest gets one worker more, until no more fit.
    """
    free, found = {"cpus": cpus, "gpus": gpus}, dict.fromkeys(sorted(wishes), 0)

    def gives(wish: Wish, workers: int) -> bool:
        needed = {"cpus": wish.cpus * workers, "gpus": wish.gpus * workers}
        fits = all(needed[kind] <= free[kind] for kind in free)
        if fits:
            found[wish] += workers
            for kind in free:
                free[kind] -= needed[kind]
        return fits

    def share(wish: Wish) -> float:
        return found[wish] * max(wish.cpus / max(cpus, 1), wish.gpus / max(gpus, 1))

    hungry = [wish for wish in found if gives(wish, wish.least)]
    while hungry := [wish for wish in hungry if found[wish] < wish.most]:
        poorest = min(hungry, key=share)
        if not gives(poorest, 1):
            hungry.remove(poorest)
    return found


@dataclass
class Scaling(ScalingConfig):
    """Ray Train's, with at most as many workers as are fair now."""

    wish: Wish | None = None

    @property
    def max_workers(self) -> int:
        """All that it wishes for when it is alone, so that a cluster which can grow does."""
        assert self.wish is not None
        listed = ray.util.list_named_actors(all_namespaces=True)
        names = [one["name"] for one in listed if one["namespace"] == NAMESPACE]
        wishes = {Wish(*json.loads(name)) for name in names}
        if wishes <= {self.wish}:
            return self.wish.most
        have = ray.cluster_resources()
        shares = fair_shares(list(wishes | {self.wish}), have.get("CPU", 0), have.get("GPU", 0))
        return max(self.wish.least, shares[self.wish])
