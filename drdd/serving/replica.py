"""What runs in a replica: the models, the batcher and the API around them."""

import asyncio
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

import torch
from prometheus_client.metrics_core import Metric
from ray import serve

from drdd.errors import UserError
from drdd.inference.engine import Options, Restoration
from drdd.params import Serve
from drdd.pictures.pixels import Pixels
from drdd.serving.http import ApiLimits, make_api
from drdd.serving.models import Models, load_checked
from drdd.serving.published import FromFolder, FromRegistry
from drdd.serving.restoring import Restoring
from drdd.serving.service import Answer, ServedModel
from drdd.serving.telemetry import Telemetry

AS_EVALUATED = Options()
SAMPLES = "samples"  # of a version: degraded pictures that the page offers
DEPLOYMENT = "Replica"
SCRAPE_S = 5.0  # for the replicas to tell what they counted


@dataclass(frozen=True)
class Setup:
    """All that a replica is made from.

    source: the registry whose aliases it follows, or the one folder that it serves.
    environment: what it needs to reach the registry, keys among it: shown nowhere.
    """

    name: str
    settings: Serve
    source: FromRegistry | FromFolder
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)

    @property
    def digest(self) -> str:
        """Equal for setups, and code, that make equal replicas."""
        digest = sha256(self.settings.model_dump_json().encode())
        digest.update(repr((self.name, self.source, sorted(self.environment.items()))).encode())
        package = Path(__file__).parent.parent
        for path in sorted(package.rglob("*.py")):
            digest.update(path.relative_to(package).as_posix().encode() + path.read_bytes())
        return digest.hexdigest()


@dataclass(frozen=True)
class Report:
    """Of one replica. setup: its setup's digest; versions, problems: by alias; failures: to load."""

    replica: str
    setup: str
    versions: Mapping[str, str]
    problems: Mapping[str, str]
    failures: int


def models_of(setup: Setup) -> Models:
    """Raises UserError when a GPU is asked for and there is none."""
    device = "cpu"
    if setup.settings.gpus:
        if not torch.cuda.is_available():
            raise UserError(f"serve.gpus = {setup.settings.gpus:g}: a replica finds no CUDA device")
        device = "cuda"
    return Models(setup.settings.models, setup.source, lambda folder: load_checked(folder, device))


def keys_of(settings: Serve, root: Path) -> tuple[str, ...]:
    """The keys of serve.api_keys, one a line; () when there is no such file set. Raises UserError."""
    if settings.api_keys is None:
        return ()
    path = root / settings.api_keys
    try:
        lines = [line.strip() for line in path.read_text().splitlines()]
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"serve.api_keys: {path} cannot be read ({error})") from None
    keys = tuple(line for line in lines if line and not line.startswith("#"))
    if not keys:
        raise UserError(f"serve.api_keys: {path} holds no key; write one a line")
    return keys


class Replica:
    """Reached by handle, and over HTTP through the API that it builds. `deployment` makes it one."""

    def __init__(self, setup: Setup) -> None:
        os.environ.update(setup.environment)
        torch.set_num_threads(setup.settings.threads)
        self._setup, self._digest = setup, setup.digest
        self._models = models_of(setup)
        self._restoring = Restoring(self._models, setup.settings)
        self._telemetry = Telemetry(self._restoring)

    async def __serve_build_asgi_app__(self) -> Any:
        """Serve calls it once and sends requests after it: a replica that is there has a model."""
        await self._restoring.start()
        self._follower = asyncio.create_task(self._restoring.follow())
        settings, source = self._setup.settings, self._setup.source
        root = source.root if isinstance(source, FromRegistry) else source.path
        limits = ApiLimits(
            settings.max_megabytes, settings.max_pixels, settings.timeout_s, keys_of(settings, root)
        )
        folder = self._models.find(None)[0].folder / SAMPLES
        samples = {path.name: path for path in sorted(folder.glob("*.jpg"))}
        return make_api(self._restoring, limits, samples, self._telemetry, self._collect)

    async def restore(
        self, pixels: Pixels, options: Options = AS_EVALUATED, model: str | None = None
    ) -> Answer:
        """See Restoring.restore."""
        return await self._restoring.restore(pixels, options, model)

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
        """look: at the aliases first."""
        if look:
            await self._restoring.look()
        versions = {one.alias: one.version for one in self._restoring.models()}
        replica = serve.get_replica_context().replica_id.unique_id
        problems = self._restoring.problems()
        return Report(replica, self._digest, versions, problems, self._models.failures)

    async def telemetry(self) -> tuple[str, list[Metric]]:
        """This replica's name, and what it counted."""
        return serve.get_replica_context().replica_id.unique_id, self._telemetry.families()

    async def _collect(self) -> dict[str, list[Metric]]:
        """By name, of all replicas that answer; of this one alone while one of them hangs."""
        handle = serve.get_deployment_handle(DEPLOYMENT, self._setup.name)
        told = handle.broadcast("telemetry")
        try:
            found = await told.results_async(timeout_s=SCRAPE_S, return_exceptions=True)
        except TimeoutError:
            found = [await self.telemetry()]
        return dict(one for one in found if not isinstance(one, BaseException))

    async def check_health(self) -> None:
        """Serve replaces a replica that raises here three times in a row."""
        await self._restoring.demand_health()


def deployment(settings: Serve) -> serve.Deployment:
    """num_cpus is 0: a waiting service must not take a training worker's place in the cluster.

    Requests are counted and turned away by the batcher, which knows how long they take; Serve's own
    limits are wide enough never to be met before.
    """
    most = 4 * (settings.max_waiting + settings.max_batch) + 64
    replicas: dict[str, Any] = {"num_replicas": settings.replicas}
    if settings.max_replicas is not None and settings.max_replicas > settings.replicas:
        autoscaling = {
            "min_replicas": settings.replicas,
            "max_replicas": settings.max_replicas,
            "target_ongoing_requests": 2 * settings.max_batch,  # one batch computed, one gathering
        }
        replicas = {"autoscaling_config": autoscaling}
    decorate: Any = serve.deployment(
        name=DEPLOYMENT,
        max_ongoing_requests=most,
        max_queued_requests=most,
        backpressure_config={"retry_after_s": 1},
        ray_actor_options={"num_cpus": 0, "num_gpus": settings.gpus},
        # A new setup's replicas are there before the old ones go; GPUs may not be there for both.
        max_surge_percent=0 if settings.gpus else 100,
        max_constructor_retry_count=3,
        graceful_shutdown_timeout_s=settings.timeout_s,
        **replicas,
    )
    made: serve.Deployment = decorate(serve.ingress()(Replica))
    return made
