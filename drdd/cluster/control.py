"""Messages between the driver and the workers of a run, through an actor on the driver's node.

The actor carries bytes, so that its process starts without the libraries that the messages are made with.
"""

import asyncio
import pickle
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import ray
from ray.exceptions import RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

GRACE_S = 20.0  # the longest that a process which is told to end takes for a last checkpoint


@dataclass(frozen=True)
class Began:
    """Training begins, or resumes, after these points."""

    history: Sequence[Mapping[str, float]]


@dataclass(frozen=True)
class LogMessage:
    """A sentence for the user."""

    sentence: str


@dataclass(frozen=True)
class Failed:
    """Training cannot go on, and a restart would not help."""

    error: Exception


class ControlActor:
    """Messages to the driver, and three events: a save is requested, it is done, the run is over."""

    def __init__(self) -> None:
        self._messages: list[bytes] = []
        self._training = False
        self._requested, self._saved, self._over = (asyncio.Event() for _ in range(3))

    async def put(self, message: bytes) -> None:
        self._messages.append(message)

    async def take(self) -> list[bytes]:
        taken, self._messages = self._messages, []
        return taken

    async def begin(self) -> None:
        """Workers train. What was requested of workers that were lost is forgotten."""
        self._training = True
        self._requested.clear()
        self._saved.clear()

    async def request_save(self, seconds: float) -> bool:
        """Whether a checkpoint was saved within `seconds`."""
        if not self._training:
            return False
        self._saved.clear()
        self._requested.set()
        with suppress(TimeoutError):
            await asyncio.wait_for(self._saved.wait(), seconds)
        return self._saved.is_set()

    async def wait_for_request(self) -> None:
        await self._requested.wait()

    async def confirm_save(self) -> None:
        self._requested.clear()
        self._saved.set()

    async def end(self) -> None:
        self._over.set()

    async def wait_for_end(self) -> None:
        await self._over.wait()


class Control:
    """A handle on the actor, for the driver and for every worker."""

    def __init__(self, actor: Any) -> None:
        self._actor = actor

    @classmethod
    def start(cls) -> "Control":
        """On this process's own node: if that is lost, so is the run."""
        here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
        remote: Any = ray.remote
        return cls(remote(num_cpus=0, scheduling_strategy=here)(ControlActor).remote())

    def send(self, message: object) -> Any:
        """Does not wait; ray.get of what is returned does."""
        return self._actor.put.remote(pickle.dumps(message))

    def poll(self) -> list[Any]:
        """The messages since the last call, in order."""
        return [pickle.loads(message) for message in ray.get(self._actor.take.remote())]

    def begin(self) -> None:
        ray.get(self._actor.begin.remote())

    def request_save(self) -> bool:
        """Wait until the workers have saved a checkpoint, GRACE_S at most; whether they have."""
        with suppress(RayError):
            return bool(ray.get(self._actor.request_save.remote(GRACE_S), timeout=GRACE_S + 1))
        return False

    def wait_for_request(self) -> None:
        ray.get(self._actor.wait_for_request.remote())

    def confirm_save(self) -> None:
        self._actor.confirm_save.remote()

    def end(self) -> None:
        """The run is over, whether it succeeded or not."""
        with suppress(RayError):
            ray.get(self._actor.end.remote(), timeout=GRACE_S)

    def wait_for_end(self) -> None:
        """The loss of the actor is an end as well."""
        with suppress(RayError):
            ray.get(self._actor.wait_for_end.remote())
