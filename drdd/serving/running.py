"""Each replica restores one job after the other, while requests come first."""

import asyncio
import logging
import pickle
import secrets
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from drdd.serving.asked import ApiLimits, Sent, checked, in_words, opened, restored
from drdd.serving.jobs import Claim, GoneError, Result, Store
from drdd.serving.memory import MemoryBudget
from drdd.serving.problems import ProblemError, problem
from drdd.serving.responses import response_of
from drdd.serving.schema import RestoreQuery
from drdd.serving.service import BusyError, Checked, Service, UnknownModelError
from drdd.serving.telemetry import Telemetry

CLAIM_S = 5.0
RENEW_S = 0.5
AGAIN_S = 1.0
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Work:
    """What a job has to do. request: the id of the request that sent it."""

    sent: Sent
    query: dict[str, Any]
    request: str

    def packed(self) -> bytes:
        return pickle.dumps(self, pickle.HIGHEST_PROTOCOL)

    @staticmethod
    def of(content: bytes) -> "Work":
        """content: of `packed`, which has not left this service."""
        work: Work = pickle.loads(content)
        return work


class StoppedError(Exception):
    """The job is no longer this replica's to restore."""


class _Progress:
    """share: that is done; stop: the thread ends at the next tile."""

    def __init__(self) -> None:
        self.share, self.stop = 0.0, False

    def watch(self, share: float) -> None:
        self.share = share
        if self.stop:
            raise StoppedError


class Runner:
    """Restores the jobs of a store, in one event loop. timeout_s: of restoring one."""

    def __init__(
        self,
        service: Service,
        limits: ApiLimits,
        budget: MemoryBudget,
        store: Store,
        telemetry: Telemetry,
    ) -> None:
        self._service, self._limits, self._budget = service, limits, budget
        self._store, self._telemetry = store, telemetry
        self._name = secrets.token_hex(8)
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Take jobs from now on."""
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        """Give the present job back, and take no other."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task

    async def _run(self) -> None:
        while True:
            try:
                claim = await self._store.claim(self._name, CLAIM_S)
                self._telemetry.jobs_waiting.set(await self._store.waiting())
                if claim is not None:
                    with self._telemetry.jobs_running.track_inprogress():
                        await self._do(claim)
            except GoneError as error:
                log.warning("%s", error)
                await asyncio.sleep(AGAIN_S)
            except Exception:
                log.exception("a job could not be taken or told of")
                await asyncio.sleep(AGAIN_S)

    async def _do(self, claim: Claim) -> None:
        began, progress = time.monotonic(), _Progress()
        work = asyncio.create_task(self._result(claim, progress))
        try:
            while not work.done():
                renewing = self._store.renew(self._name, claim.id, progress.share, RENEW_S)
                renewal = asyncio.ensure_future(renewing)
                await asyncio.wait({work, renewal}, return_when=asyncio.FIRST_COMPLETED)
                if not renewal.done():
                    renewal.cancel()
                elif not renewal.result():
                    progress.stop = True
                    await asyncio.wait({work})
        except asyncio.CancelledError:
            progress.stop = True
            with suppress(GoneError):
                await self._store.release(self._name, claim.id)
            raise
        except GoneError:
            progress.stop = True
            await asyncio.wait({work})
            raise
        result = work.result()
        if result is not None and await self._store.finish(self._name, claim.id, result):
            end = "done" if result.status == 200 else "failed"
            self._telemetry.job_ended(end, time.monotonic() - began)

    async def _result(self, claim: Claim, progress: _Progress) -> Result | None:
        """What /v1/restore would have answered. None if the job was stopped."""
        work = Work.of(claim.content)
        timeout = asyncio.get_running_loop().call_later(self._limits.job_timeout_s, _stop, progress)
        late = ProblemError(503, f"not restored within {self._limits.job_timeout_s:g} s")
        began = time.monotonic()
        try:
            return await self._answer(claim, work, progress)
        except StoppedError:
            if time.monotonic() - began < self._limits.job_timeout_s:
                return None
            return Result.of(problem(late, work.request))
        except ProblemError as error:
            return Result.of(problem(error, work.request))
        except Exception:
            log.exception("the job of request %s failed", work.request)
            said = "not foreseen; the service's log has it by this id"
            return Result.of(problem(ProblemError(500, said), work.request))
        finally:
            timeout.cancel()

    async def _answer(self, claim: Claim, work: Work, progress: _Progress) -> Result:
        asked = RestoreQuery.model_validate(work.query)
        while True:
            progress.watch(progress.share)
            try:
                with in_words():
                    query, now = self._as_sent(work.sent, asked, claim.version)
                with self._budget.reservation() as memory:
                    picture = await opened(work.sent, query, now.scale, self._limits, memory)
                    with in_words():
                        answer = await restored(self._service, picture, query, progress.watch)
                    return Result.of(
                        await asyncio.to_thread(
                            response_of, answer, query, picture.carried, work.request
                        )
                    )
            except BusyError:  # requests hold the memory
                await asyncio.sleep(AGAIN_S)

    def _as_sent(
        self, sent: Sent, query: RestoreQuery, version: str
    ) -> tuple[RestoreQuery, Checked]:
        """With the version that was served when the job was sent, if it is still served.

        Raises as `checked` does.
        """
        as_sent = query.model_copy(update={"model": version})
        try:
            return as_sent, checked(self._service, sent, as_sent)
        except UnknownModelError:
            return query, checked(self._service, sent, query)


def _stop(progress: _Progress) -> None:
    progress.stop = True
