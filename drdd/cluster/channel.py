"""What workers and driver say to each other while training runs, through an actor beside the driver.

The actor carries bytes, so that its process starts without the libraries that the messages are made with.
"""

import asyncio
import pickle
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

NAMESPACE = "drdd"
GRACE_S = 20.0  # what a process that is told to go takes at most for a last checkpoint


@dataclass(frozen=True)
class Began:
    """Training begins, or goes on, after these points."""

    history: Sequence[Mapping[str, float]]


@dataclass(frozen=True)
class Said:
    """A sentence for a person."""

    sentence: str


@dataclass(frozen=True)
class Failed:
    """Training cannot go on, and would not if it began again."""

    error: Exception


class Mailbox:
    """The actor. A save is asked for by `ask`, heard by `asked`, and answered by `saved`."""

    def __init__(self) -> None:
        self._messages: list[bytes] = []
        self._training = False
        self._asked, self._saved, self._over = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def put(self, message: bytes) -> None:
        self._messages.append(message)

    async def take(self) -> list[bytes]:
        taken, self._messages = self._messages, []
        return taken

    async def begin(self) -> None:
        """Training begins, or goes on after a loss: what was asked of lost workers is forgotten."""
        self._training = True
        self._asked.clear()
        self._saved.clear()

    async def ask(self, seconds: float) -> bool:
        """Whether a checkpoint was saved within so many seconds."""
        if not self._training:
            return False
        self._saved.clear()
        self._asked.set()
        with suppress(TimeoutError):
            await asyncio.wait_for(self._saved.wait(), seconds)
        return self._saved.is_set()

    async def asked(self) -> None:
        """Returns when a save is asked for."""
        await self._asked.wait()

    async def saved(self) -> None:
        self._asked.clear()
        self._saved.set()

    async def end(self) -> None:
        self._over.set()

    async def over(self) -> None:
        """Returns when the run is to end."""
        await self._over.wait()


class Channel:
    """A handle on the actor, for the driver and for every worker."""

    def __init__(self, actor: Any) -> None:
        self._actor = actor

    @classmethod
    def open(cls, name: str) -> "Channel":
        """On the driver's own node, whose loss ends the run anyway. name: of the actor, in NAMESPACE."""
        import ray
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
        remote: Any = ray.remote
        options = {"num_cpus": 0, "scheduling_strategy": here, "name": name, "namespace": NAMESPACE}
        return cls(remote(**options)(Mailbox).remote())

    def tell(self, message: object) -> None:
        """Does not wait."""
        self._actor.put.remote(pickle.dumps(message))

    def tell_and_wait(self, message: object) -> None:
        import ray

        ray.get(self._actor.put.remote(pickle.dumps(message)))

    def heard(self) -> list[Any]:
        """The messages since the last call, in their order."""
        import ray

        return [pickle.loads(message) for message in ray.get(self._actor.take.remote())]

    def begin(self) -> None:
        import ray

        ray.get(self._actor.begin.remote())

    def ask(self, seconds: float) -> bool:
        """Ask for a checkpoint at once, and wait for it; whether there is one."""
        import ray

        with suppress(ray.exceptions.RayError):
            return bool(ray.get(self._actor.ask.remote(seconds), timeout=seconds + 1))
        return False

    def wait_until_asked(self) -> None:
        import ray

        ray.get(self._actor.asked.remote())

    def saved(self) -> None:
        self._actor.saved.remote()

    def end(self) -> None:
        """The run is over, however far it came."""
        import ray

        with suppress(ray.exceptions.RayError):
            ray.get(self._actor.end.remote(), timeout=GRACE_S)

    def wait_for_end(self) -> None:
        """Also the loss of the actor is one."""
        import ray

        with suppress(ray.exceptions.RayError):
            ray.get(self._actor.over.remote())
