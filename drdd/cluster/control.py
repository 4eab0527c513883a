"""Messages between the driver and the workers of a run, through an actor on the driver's node.

Messages are sent as bytes, so that the actor's process does not import the libraries of their classes.
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

GRACE_S = 20.0  # maximum time for a last checkpoint when a process is told to end


@dataclass(frozen=True)
class Began:
    """Training begins or resumes, with these points so far."""

    history: Sequence[Mapping[str, float]]


@dataclass(frozen=True)
class LogMessage:
    """A sentence for the user."""

    sentence: str


@dataclass(frozen=True)
class Failed:
    """Training has failed, and a restart would not help."""

    error: Exception


class ControlActor:
    """Holds messages to the driver, and three events: save requested, save done, run over."""

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
        """Workers have begun to train. A pending request to lost workers is dropped."""
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
        """Start the actor on the node of this process: if that node is lost, so is the run."""
        here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
        remote: Any = ray.remote
        return cls(remote(num_cpus=0, scheduling_strategy=here)(ControlActor).remote())

    def send(self, message: object) -> Any:
        """Send without waiting; ray.get of the returned reference waits."""
        return self._actor.put.remote(pickle.dumps(message))

    def poll(self) -> list[Any]:
        """The messages since the last call, in order of arrival."""
        return [pickle.loads(message) for message in ray.get(self._actor.take.remote())]

    def begin(self) -> None:
        ray.get(self._actor.begin.remote())

    def request_save(self) -> bool:
        """Ask the workers for a checkpoint and wait up to GRACE_S; returns whether it was saved."""
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
        """Wait until the run is over or the actor is lost."""
        with suppress(RayError):
            ray.get(self._actor.wait_for_end.remote())
