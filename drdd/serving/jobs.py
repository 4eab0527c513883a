"""The jobs of a service, in memory: what waits, what runs where, and what came of it.

Replicas take jobs under a lease, which they renew while they restore. The job of a replica that dies
goes to another one. Ids name the store that made them, so that one of an earlier store is known to be lost.
"""

import asyncio
import hmac
import secrets
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Literal, Protocol

from fastapi import Response

from drdd.serving.problems import ProblemError, problem

Status = Literal["waiting", "running", "done", "failed", "cancelled", "expired", "lost"]
LEASE_S = 15.0  # without a sign of its replica
ATTEMPTS = 2
SHARE = 0.5  # of the store, for one key
REMEMBERED = 4096  # ended jobs whose status is told when their result is gone
DIED = "the replica died twice while restoring it; send a smaller picture, or see the service's log"


@dataclass(frozen=True)
class Bounds:
    """most: jobs that are kept; size: bytes of them all; keep_s: how long a result is kept.

    shared: whether one key may fill no more than SHARE of it.
    """

    most: int = 64
    size: int = 1024**3
    keep_s: float = 600.0
    shared: bool = False


@dataclass(frozen=True)
class Result:
    """An answer of HTTP."""

    status: int
    headers: dict[str, str]
    body: bytes

    @classmethod
    def of(cls, response: Response) -> "Result":
        return cls(response.status_code, dict(response.headers), bytes(response.body))


@dataclass(frozen=True)
class Told:
    """progress: 0 to 100; position: of those that wait, 0 is next; times: ISO 8601, UTC."""

    id: str
    status: Status
    progress: float = 0.0
    position: int | None = None
    created: str | None = None
    expires: str | None = None
    version: str | None = None

    @property
    def ended(self) -> bool:
        return self.status not in ("waiting", "running")


@dataclass(frozen=True)
class Full:
    """Why no job is taken. own: the key's share is used up."""

    own: bool
    retry_after_s: float


@dataclass(frozen=True)
class Claim:
    """A job that a replica has to restore. version: of the model that was served when it was sent."""

    id: str
    content: bytes
    version: str


@dataclass(eq=False)
class _Job:
    id: str
    owner: str
    version: str
    content: bytes
    size: int
    created: float = field(default_factory=time.time)
    status: Status = "waiting"
    share: float = 0.0
    attempts: int = 0
    worker: str = ""
    until: float = 0.0  # monotonic: the end of the lease, or of the result
    expires: float | None = None
    result: Result | None = None


class Store(Protocol):
    """Where jobs are: in this process, or in an actor (keeper.py). Any call may raise GoneError."""

    async def add(self, owner: str, content: bytes, size: int, version: str) -> Told | Full: ...
    async def look(self, id_: str, owner: str, wait_s: float = 0.0) -> Told | None: ...
    async def result(self, id_: str, owner: str) -> tuple[Told | None, Result | None]: ...
    async def cancel(self, id_: str, owner: str) -> Told | None: ...
    async def claim(self, worker: str, wait_s: float) -> Claim | None: ...
    async def renew(self, worker: str, id_: str, share: float, wait_s: float = 0.0) -> bool: ...
    async def finish(self, worker: str, id_: str, result: Result) -> bool: ...
    async def release(self, worker: str, id_: str) -> None: ...
    async def waiting(self) -> int: ...


class GoneError(Exception):
    """The store does not answer."""


class Jobs:
    """A Store. Use it in one event loop."""

    def __init__(self, bounds: Bounds, lease_s: float = LEASE_S) -> None:
        self._bounds, self._lease_s = bounds, lease_s
        self._epoch = secrets.token_hex(4)
        self._jobs: dict[str, _Job] = {}  # in the order in which they came
        self._changed = asyncio.Condition()

    async def adopt(self, bounds: Bounds) -> None:
        """Take over other bounds; jobs that are there stay."""
        self._bounds = bounds

    async def add(self, owner: str, content: bytes, size: int, version: str) -> Told | Full:
        """A new job. size: bytes that it may hold, from its content to its result."""
        self._sweep()
        if (full := self._full(owner, size)) is not None:
            return full
        job = _Job(f"{self._epoch}-{secrets.token_urlsafe(16)}", owner, version, content, size)
        self._jobs[job.id] = job
        await self._tell()
        return self._told(job)

    async def look(self, id_: str, owner: str, wait_s: float = 0.0) -> Told | None:
        """What is known of a job; it waits until something changes. None for another owner's."""
        give_up, before = time.monotonic() + wait_s, self._found(id_, owner)
        told = before
        while (
            told and not told.ended and told == before and (left := give_up - time.monotonic()) > 0
        ):
            await self._wait(min(left, 1.0))
            told = self._found(id_, owner)
        return told

    async def result(self, id_: str, owner: str) -> tuple[Told | None, Result | None]:
        told = self._found(id_, owner)
        job = self._jobs.get(id_) if told else None
        return told, job.result if job else None

    async def cancel(self, id_: str, owner: str) -> Told | None:
        """End a job, or forget the result of one that has ended."""
        told = self._found(id_, owner)
        if told is None or (job := self._jobs.get(id_)) is None:
            return told
        if job.status != "expired":
            self._end(job, "cancelled")
            await self._tell()
        return self._told(job)

    async def claim(self, worker: str, wait_s: float) -> Claim | None:
        """The oldest job that waits, for `worker`; waits for one."""
        give_up = time.monotonic() + wait_s
        while True:
            self._sweep()
            for job in self._jobs.values():
                if job.status == "waiting":
                    job.status, job.worker, job.attempts = "running", worker, job.attempts + 1
                    job.share = 0.0  # what another replica had done is lost
                    job.until = time.monotonic() + self._lease_s
                    await self._tell()
                    return Claim(job.id, job.content, job.version)
            if (left := give_up - time.monotonic()) <= 0:
                return None
            await self._wait(min(left, 1.0))

    async def renew(self, worker: str, id_: str, share: float, wait_s: float = 0.0) -> bool:
        """Whether `worker` is still to restore it, within wait_s.

        share: that is done, in [0, 1]; it shrinks only when another worker begins again.
        """
        self._sweep()
        if (job := self._held(worker, id_)) is None:
            return False
        job.until = time.monotonic() + self._lease_s
        if share > job.share:
            job.share = share
            await self._tell()
        give_up = time.monotonic() + wait_s
        while self._held(worker, id_) and (left := give_up - time.monotonic()) > 0:
            await self._wait(left)
        return self._held(worker, id_) is not None

    async def finish(self, worker: str, id_: str, result: Result) -> bool:
        """Whether it was still this worker's to restore."""
        if (job := self._held(worker, id_)) is None:
            return False
        self._end(job, "done" if result.status == 200 else "failed", result)
        await self._tell()
        return True

    async def release(self, worker: str, id_: str) -> None:
        """Give a job back, for another replica."""
        if (job := self._held(worker, id_)) is not None:
            job.status, job.attempts = "waiting", job.attempts - 1
            await self._tell()

    async def waiting(self) -> int:
        return sum(job.status == "waiting" for job in self._jobs.values())

    def _held(self, worker: str, id_: str) -> _Job | None:
        job = self._jobs.get(id_)
        held = job is not None and job.status == "running" and job.worker == worker
        return job if held else None

    def _found(self, id_: str, owner: str) -> Told | None:
        self._sweep()
        job = self._jobs.get(id_)
        if job is not None:
            own = hmac.compare_digest(job.owner.encode(), owner.encode())
            return self._told(job) if own else None
        epoch, _, rest = id_.partition("-")
        made = len(epoch) == len(self._epoch) and len(rest) == len(secrets.token_urlsafe(16))
        return Told(id_, "lost") if made and epoch.isalnum() and epoch != self._epoch else None

    def _told(self, job: _Job) -> Told:
        position = None
        if job.status == "waiting":
            line = [one.id for one in self._jobs.values() if one.status == "waiting"]
            position = line.index(job.id)
        share = 1.0 if job.status == "done" else min(job.share, 0.999)
        expires = None if job.expires is None else _iso(job.expires)
        return Told(
            job.id, job.status, round(100 * share, 1), position, _iso(job.created), expires, job.version
        )  # fmt: skip

    def _full(self, owner: str, size: int) -> Full | None:
        bounds = self._bounds
        there = [job for job in self._jobs.values() if job.size]
        own = [job for job in there if job.owner == owner]
        ways = [(there, 1.0, False)] + ([(own, SHARE, True)] if bounds.shared else [])
        for jobs, share, mine in reversed(ways):
            most, room = max(1, int(bounds.most * share)), bounds.size * share
            if jobs and (len(jobs) >= most or sum(job.size for job in jobs) + size > room):
                ends = [job.until - time.monotonic() for job in jobs if job.expires is not None]
                return Full(mine, min([*ends, 10.0]))
        return None

    def _end(self, job: _Job, status: Status, result: Result | None = None) -> None:
        job.status, job.content, job.result = status, b"", result
        job.size = 0 if result is None else max(1, len(result.body))
        job.expires = time.time() + (self._bounds.keep_s if result else 0.0)
        job.until = time.monotonic() + (self._bounds.keep_s if result else 0.0)

    def _sweep(self) -> None:
        """Give the jobs of dead replicas to others, drop results that have expired."""
        now = time.monotonic()
        for job in self._jobs.values():
            if job.until > now:
                continue
            if job.status == "running":
                if job.attempts >= ATTEMPTS:
                    self._end(job, "failed", Result.of(problem(ProblemError(500, DIED), job.id)))
                else:
                    job.status = "waiting"
            elif job.status in ("done", "failed"):
                self._end(job, "expired")
        gone = [job.id for job in self._jobs.values() if job.status in ("expired", "cancelled")]
        for id_ in gone[: max(0, len(gone) - REMEMBERED)]:
            del self._jobs[id_]

    async def _tell(self) -> None:
        async with self._changed:
            self._changed.notify_all()

    async def _wait(self, seconds: float) -> None:
        """Until something has changed, or so long."""
        try:
            async with asyncio.timeout(seconds), self._changed:
                await self._changed.wait()
        except TimeoutError:
            pass


def _iso(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")
