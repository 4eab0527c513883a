"""What runs in a replica: the models, the batcher and the API around them."""

import asyncio
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from tempfile import gettempdir
from typing import Any

import psutil
import torch
from ray import serve

from drdd.errors import UserError
from drdd.inference.engine import Options, Restoration
from drdd.params import Serve
from drdd.pictures.pixels import Pixels
from drdd.serving.models import Models, load_checked
from drdd.serving.published import FromFolder, FromRegistry
from drdd.serving.restoring import Restoring
from drdd.serving.service import Answer, Served

AS_EVALUATED = Options()
SAMPLES = "samples"  # of a version: degraded pictures that the page offers
COUNTS = "PROMETHEUS_MULTIPROC_DIR"


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
        _share_counts(self._digest)
        self._models = models_of(setup)
        self._restoring = Restoring(self._models, setup.settings)

    async def __serve_build_asgi_app__(self) -> Any:
        """Serve calls it once and sends requests after it: a replica that is there has a model."""
        await self._restoring.start()
        self._follower = asyncio.create_task(self._restoring.follow())
        # Imported here: its counters are shared between processes only if COUNTS is set before.
        from drdd.serving.http import ApiLimits, make_api

        settings, source = self._setup.settings, self._setup.source
        root = source.root if isinstance(source, FromRegistry) else source.path
        limits = ApiLimits(
            settings.max_megabytes, settings.max_pixels, settings.timeout_s, keys_of(settings, root)
        )
        folder = self._models.find(None)[0].folder / SAMPLES
        samples = {path.name: path for path in sorted(folder.glob("*.jpg"))}
        return make_api(self._restoring, limits, samples)

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

    async def models(self) -> list[Served]:
        return self._restoring.models()

    async def report(self, look: bool = False) -> Report:
        """look: at the aliases first."""
        if look:
            await self._restoring.look()
        versions = {one.alias: one.version for one in self._restoring.models()}
        replica = serve.get_replica_context().replica_id.unique_id
        problems = self._restoring.problems()
        return Report(replica, self._digest, versions, problems, self._models.failures)

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
        name="Replica",
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


def _share_counts(digest: str) -> None:
    """Let the setup's replicas on this machine count into one folder, so that any of them tells the sum."""
    folder = Path(gettempdir()) / f"drdd-metrics-{os.getuid()}-{digest[:12]}"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    os.environ[COUNTS] = str(folder)
    from prometheus_client import multiprocess

    for process in {path.stem.rpartition("_")[2] for path in folder.glob("*.db")}:
        if process.isdigit() and not psutil.pid_exists(int(process)):
            multiprocess.mark_process_dead(int(process), str(folder))
