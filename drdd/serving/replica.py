"""A replica of the service: the models, the batcher and the API."""

import asyncio
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

import torch
from prometheus_client.metrics_core import Metric
from ray import serve

from drdd.errors import UserError
from drdd.inference.engine import Restoration
from drdd.inference.options import Options
from drdd.params import Serve
from drdd.pictures.pixels import Hole, Pixels
from drdd.serving.asked import ApiLimits
from drdd.serving.http import make_api
from drdd.serving.jobs import Bounds
from drdd.serving.keeper import Kept
from drdd.serving.models import Models, load_checked
from drdd.serving.published import FromFolder, FromRegistry
from drdd.serving.reading import MIB
from drdd.serving.restoring import Restoring
from drdd.serving.service import Answer, ServedModel
from drdd.serving.telemetry import Telemetry
from drdd.text import read_text

AS_EVALUATED = Options()
SAMPLES = "samples"  # degraded pictures of a version, samples for the page
DEPLOYMENT = "Replica"
MAX_KEYS = 1024**2  # bytes of their file
SENDABLE = re.compile(r"[!-~]+")  # by every client, in a header
SCRAPE_S = 5.0  # timeout to collect the metrics of replicas


@dataclass(frozen=True)
class Setup:
    """The configuration of a replica.

    source: the registry whose aliases it follows, or the folder that it serves; environment: variables to
    access the registry, including keys, so it is never shown.
    """

    name: str
    settings: Serve
    source: FromRegistry | FromFolder
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)

    @property
    def digest(self) -> str:
        """A hash of the setup and the code, equal for equal replicas."""
        digest = sha256(self.settings.model_dump_json().encode())
        digest.update(repr((self.name, self.source, sorted(self.environment.items()))).encode())
        package = Path(__file__).parent.parent
        for path in sorted(package.rglob("*.py")):
            digest.update(path.relative_to(package).as_posix().encode() + path.read_bytes())
        return digest.hexdigest()


@dataclass(frozen=True)
class Report:
    """A report of one replica.

    setup: digest of its setup; versions, problems: by alias; failures: of loads.
    """

    replica: str
    setup: str
    versions: Mapping[str, str]
    problems: Mapping[str, str]
    failures: int


def models_of(setup: Setup) -> Models:
    """The models of a setup. Raises UserError when it asks for a GPU and there is none."""
    device = "cpu"
    if setup.settings.gpus:
        if not torch.cuda.is_available():
            raise UserError(f"serve.gpus = {setup.settings.gpus:g}: a replica finds no CUDA device")
        device = "cuda"
    return Models(setup.settings.models, setup.source, lambda folder: load_checked(folder, device))


def keys_of(settings: Serve, root: Path) -> tuple[str, ...]:
    """The keys in the file serve.api_keys, one per line; () if it is not set.

    Raises UserError for a file that cannot be read or holds no key, and for a key that not every client can
    send.
    """
    if settings.api_keys is None:
        return ()
    origin = f"serve.api_keys: {settings.api_keys}"
    try:
        text = read_text(root / settings.api_keys, origin, MAX_KEYS)
    except FileNotFoundError:
        raise UserError(f"{origin} does not exist; write a file with a key a line") from None
    lines = {n: line.strip() for n, line in enumerate(text.splitlines(), 1)}
    keys = {n: line for n, line in lines.items() if line and not line.startswith("#")}
    if not keys:
        raise UserError(f"{origin} holds no key; write one a line")
    for n, key in keys.items():
        if not SENDABLE.fullmatch(key):
            raise UserError(
                f"{origin}: line {n} holds a blank or a letter that is not ASCII, which not every "
                "client can send; write one of letters and digits, as `openssl rand -hex 32` does"
            )
    return tuple(keys.values())


class Replica:
    """A replica, reached by handle and by HTTP. `deployment` makes it a deployment of Serve."""

    def __init__(self, setup: Setup) -> None:
        os.environ.update(setup.environment)
        torch.set_num_threads(setup.settings.threads)
        self._setup, self._digest = setup, setup.digest
        self._models = models_of(setup)
        self._restoring = Restoring(self._models, setup.settings)
        self._telemetry = Telemetry(self._restoring)

    async def __serve_build_asgi_app__(self) -> Any:
        """Serve calls this once before it sends requests, so a running replica has a model."""
        await self._restoring.start()
        self._follower = asyncio.create_task(self._restoring.follow())
        settings, source = self._setup.settings, self._setup.source
        root = source.root if isinstance(source, FromRegistry) else source.path
        limits = ApiLimits(
            max_megabytes=settings.max_megabytes,
            max_pixels=settings.max_pixels,
            timeout_s=settings.timeout_s,
            at_once=_slots(settings) // 2,
            api_keys=keys_of(settings, root),
            keyless=tuple(settings.keyless),
            job_timeout_s=settings.job_timeout_s,
            jobs=Bounds(
                settings.jobs,
                int(settings.jobs_megabytes * MIB),
                settings.jobs_keep_s,
                shared=settings.api_keys is not None,
            ),
        )
        kept = Kept(self._setup.name, limits.jobs) if isinstance(source, FromRegistry) else None
        folder = self._models.find(None)[0].folder / SAMPLES
        samples = {path.name: path for path in sorted(folder.glob("*.jpg"))}
        return make_api(self._restoring, limits, samples, self._telemetry, self._collect, kept)

    async def restore(
        self,
        pixels: Pixels,
        options: Options = AS_EVALUATED,
        model: str | None = None,
        hole: Hole | None = None,
    ) -> Answer:
        """See Restoring.restore."""
        return await self._restoring.restore(pixels, options, model, hole)

    async def restore_batch(
        self,
        pictures: Sequence[Pixels],
        options: Options = AS_EVALUATED,
        keys: Sequence[str] | None = None,
    ) -> list[Restoration]:
        """See Restoring.restore_batch."""
        return await self._restoring.restore_batch(pictures, options, keys)

    async def models(self) -> list[ServedModel]:
        return self._restoring.models()

    async def report(self, look: bool = False) -> Report:
        """Report on this replica. look: check the aliases first."""
        if look:
            await self._restoring.look()
        versions = {one.alias: one.version for one in self._restoring.models()}
        replica = serve.get_replica_context().replica_id.unique_id
        problems = self._restoring.problems()
        return Report(replica, self._digest, versions, problems, self._models.failures)

    async def telemetry(self) -> tuple[str, list[Metric]]:
        """The name of this replica and its metrics."""
        return serve.get_replica_context().replica_id.unique_id, self._telemetry.families()

    async def _collect(self) -> dict[str, list[Metric]]:
        """The metrics of all replicas, by name; only those of this one while another does not answer."""
        handle = serve.get_deployment_handle(DEPLOYMENT, self._setup.name)
        told = handle.broadcast("telemetry")
        try:
            found = await told.results_async(timeout_s=SCRAPE_S, return_exceptions=True)
        except TimeoutError:
            found = [await self.telemetry()]
        return dict(one for one in found if not isinstance(one, BaseException))

    async def check_health(self) -> None:
        """Serve replaces a replica when this raises three times in a row."""
        await self._restoring.demand_health()


def deployment(settings: Serve) -> serve.Deployment:
    """The deployment. num_cpus is 0, so that an idle service takes no CPU from training workers.

    The batcher counts and refuses requests, because it knows how long they take. Serve's own limits are too
    high to be reached first.
    """
    most = _slots(settings)
    replicas: dict[str, Any] = {"num_replicas": settings.replicas}
    if settings.max_replicas is not None and settings.max_replicas > settings.replicas:
        autoscaling = {
            "min_replicas": settings.replicas,
            "max_replicas": settings.max_replicas,
            "target_ongoing_requests": 2
            * settings.max_batch,  # one batch in computation, one in the queue
        }
        replicas = {"autoscaling_config": autoscaling}
    decorate: Any = serve.deployment(
        name=DEPLOYMENT,
        max_ongoing_requests=most,
        max_queued_requests=most,
        backpressure_config={"retry_after_s": 1},
        ray_actor_options={"num_cpus": 0, "num_gpus": settings.gpus},
        # New replicas start before the old ones stop, but there may not be enough GPUs for both.
        max_surge_percent=0 if settings.gpus else 100,
        max_constructor_retry_count=3,
        graceful_shutdown_timeout_s=settings.timeout_s,
        **replicas,
    )
    made: serve.Deployment = decorate(serve.ingress()(Replica))
    return made


def _slots(settings: Serve) -> int:
    """Requests of any kind that a replica has at a time. Those to restore get half of them (ApiLimits)."""
    return 4 * (settings.max_waiting + settings.max_batch) + 64
