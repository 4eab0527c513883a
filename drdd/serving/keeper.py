"""The jobs of a service of several replicas, in an actor of their own: any replica is asked about any job.

The actor outlives replicas, and so their replacement. It ends when no replica has asked for
UNUSED_S. If its process dies, Ray starts another one, whose ids begin otherwise: those of earlier jobs are
known to be lost.
"""

import asyncio
import time
from hashlib import sha256
from pathlib import Path
from typing import Any, cast

import ray
from ray.exceptions import RayError

from drdd.serving import jobs
from drdd.serving.jobs import Bounds, Claim, Full, GoneError, Jobs, Result, Told

NAMESPACE = "drdd"
UNUSED_S = 180.0  # longer than replicas take to be replaced
ANSWER_S = 15.0  # beyond the time for which it was asked to wait
AT_ONCE = 1000


class Keeper(Jobs):
    """The actor."""

    def __init__(self, bounds: Bounds) -> None:
        super().__init__(bounds)
        self._asked = time.monotonic()
        self._end_of: asyncio.Task[None] | None = None

    async def claim(self, worker: str, wait_s: float) -> Claim | None:
        self._asked = time.monotonic()
        if self._end_of is None:
            self._end_of = asyncio.create_task(self._end_unused())
        return await super().claim(worker, wait_s)

    async def renew(self, worker: str, id_: str, share: float, wait_s: float = 0.0) -> bool:
        self._asked = time.monotonic()
        return await super().renew(worker, id_, share, wait_s)

    async def _end_unused(self) -> None:
        while time.monotonic() - self._asked < UNUSED_S:
            await asyncio.sleep(UNUSED_S / 10)
        ray.kill(ray.get_runtime_context().current_actor, no_restart=True)


class Kept:
    """A Store: the keeper of an application, which is started if it is not there."""

    def __init__(self, application: str, bounds: Bounds) -> None:
        """The name holds a hash of the code, since replicas of other code may ask otherwise."""
        code = sha256(Path(jobs.__file__).read_bytes() + Path(__file__).read_bytes()).hexdigest()
        self._name, self._bounds = f"{application}-jobs-{code[:8]}", bounds
        self._actor: Any = None

    async def add(self, owner: str, content: bytes, size: int, version: str) -> Told | Full:
        return cast(Told | Full, await self._ask("add", owner, content, size, version))

    async def look(self, id_: str, owner: str, wait_s: float = 0.0) -> Told | None:
        return cast(Told | None, await self._ask("look", id_, owner, wait_s, wait_s=wait_s))

    async def result(self, id_: str, owner: str) -> tuple[Told | None, Result | None]:
        return cast(tuple[Told | None, Result | None], await self._ask("result", id_, owner))

    async def cancel(self, id_: str, owner: str) -> Told | None:
        return cast(Told | None, await self._ask("cancel", id_, owner))

    async def claim(self, worker: str, wait_s: float) -> Claim | None:
        return cast(Claim | None, await self._ask("claim", worker, wait_s, wait_s=wait_s))

    async def renew(self, worker: str, id_: str, share: float, wait_s: float = 0.0) -> bool:
        return bool(await self._ask("renew", worker, id_, share, wait_s, wait_s=wait_s))

    async def finish(self, worker: str, id_: str, result: Result) -> bool:
        return bool(await self._ask("finish", worker, id_, result))

    async def release(self, worker: str, id_: str) -> None:
        await self._ask("release", worker, id_)

    async def waiting(self) -> int:
        return int(await self._ask("waiting"))

    async def _ask(self, method: str, *arguments: object, wait_s: float = 0.0) -> Any:
        """Raises GoneError."""
        try:
            async with asyncio.timeout(ANSWER_S + wait_s):
                if self._actor is None:
                    self._actor = await asyncio.to_thread(self._started)
                    await self._actor.adopt.remote(self._bounds)
                return await getattr(self._actor, method).remote(*arguments)
        except (RayError, ValueError, TimeoutError) as error:
            self._actor = None
            raise GoneError(f"the jobs cannot be reached: {type(error).__name__}") from None

    def _started(self) -> Any:
        actor: Any = ray.remote(Keeper)
        return actor.options(
            name=self._name,
            namespace=NAMESPACE,
            lifetime="detached",
            get_if_exists=True,
            num_cpus=0,
            max_restarts=-1,
            max_concurrency=AT_ONCE,
        ).remote(self._bounds)
