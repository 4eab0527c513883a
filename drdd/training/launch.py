"""Run the loop in Ray Train's TorchTrainer: workers, checkpoints, recovery, progress."""

import logging
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, wait
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from drdd.checkpoints.pretrained import Start, read_start
from drdd.checkpoints.warm_start import Weights, read_warm_start
from drdd.cluster import ray_cluster
from drdd.data.library import Library, PicturePairs, Pictures
from drdd.data.pairs import Pair
from drdd.data.versions import Address, push, shared_folder
from drdd.errors import TransientError, UserError
from drdd.params import Params, PretrainedNetwork, TrainNoise, TrainResidual, TrainStage
from drdd.training.loop import NonFiniteLossError, Progress, State, Trained, Worker, train
from drdd.training.networks import noise_channels, residual_networks, sampling_of
from drdd.training.samples import CleanSamples, PairSamples
from drdd.training.specs import StageSpec, noise_spec, residual_spec
from drdd.training.storage import Storage

STATE_FILE = "state.pt"
POLL_S = 0.5
Report = Callable[[Progress], None]


@dataclass(frozen=True)
class Job:
    """What a worker needs, wherever it runs.

    pairs: by task, or of one group that has targets alone; shards: where their pictures are;
    start: what the stage begins from instead of random weights: a pretrained checkpoint (noise),
    or the folder of a published model (residual).
    """

    stage: str
    params: Params
    pairs: Mapping[str, Sequence[Pair]]
    shards: Sequence[Address] = ()
    start: Path | None = None


def build_spec(job: Job) -> StageSpec:
    """Unpaired noise stages see targets; everything else sees pairs, by task."""
    params = job.params
    diffusion, seed, settings = params.diffusion, params.seed, settings_of(job)
    schedule = sampling_of(params).schedule()
    if isinstance(settings, TrainNoise):
        if settings.data == "pairs":
            samples: CleanSamples | PairSamples = _pairs(job, settings.crop)
        else:
            corrupted = settings.conditioning == "estimate"
            samples = CleanSamples(_pictures(job), settings.crop, seed, corrupted)
        return noise_spec(samples, settings, diffusion, schedule, seed, start_of(job))
    assert isinstance(settings, TrainResidual)
    pairs, start = _pairs(job, settings.crop), warm_start_of(job)
    return residual_spec(pairs, settings, diffusion, schedule, seed, params.method, start)


def settings_of(job: Job) -> TrainNoise | TrainResidual:
    """The stage's settings. A rival's one network has the budget of both stages."""
    noise, residual = job.params.train.noise, job.params.train.residual
    if job.stage == "noise":
        return noise
    if job.params.method == "drdd":
        return residual
    return residual.model_copy(update={"images": noise.images + residual.images})


def start_of(job: Job) -> Start | None:
    """Raises UserError when the checkpoint cannot be what the noise stage begins from."""
    settings = job.params.train.noise
    if job.start is None or not isinstance(settings.network, PretrainedNetwork):
        return None
    channels, heads = noise_channels(settings), settings.network.head_channels
    start = read_start(job.start, settings.relative, channels, heads)
    if settings.crop % start.config.factor:
        raise UserError(
            f"train.noise.crop: {settings.crop} must be a multiple of {start.config.factor} for the "
            f"network of {settings.start}"
        )
    return start


def warm_start_of(job: Job) -> Weights | None:
    """Raises UserError when the model cannot be what the residual stage begins from."""
    if job.start is None:
        return None
    params = job.params
    networks = residual_networks(params.train.residual, params.diffusion, params.method)
    return read_warm_start(job.start, networks, params.method)


def _pictures(job: Job) -> Pictures:
    targets = (pair.target for pairs in job.pairs.values() for pair in pairs)
    return Pictures(Library(job.shards), list(dict.fromkeys(targets)))


def _pairs(job: Job, crop: int) -> PairSamples:
    library = Library(job.shards)
    pairs = {task: PicturePairs(library, found) for task, found in job.pairs.items()}
    return PairSamples(pairs, crop, job.params.seed)


@contextmanager
def fitted(job: Job, name: str, folder: Path, report: Report) -> Iterator[Trained]:
    """Train on a Ray cluster; a run of the same `name` that was interrupted is resumed.

    folder: where checkpoints live until the block, which makes the results safe, ends without an error;
    those of a cluster of several nodes live in DVC's remote, from which its workers read the shards.
    Raises UserError when the cluster cannot hold the workers, a picture or the remote is no good, or
    the loss is not finite.
    """
    settings = settings_of(job)
    with ray_cluster(settings.workers * settings.threads):
        _check_resources(job.stage, settings.workers, settings.threads, settings.use_gpu)
        storage = _storage(job, folder)
        result = _run(job, name, storage, settings, report)
        assert result.checkpoint is not None  # the loop's last step always saves one
        with result.checkpoint.as_directory() as folder:
            state = _read_state(Path(folder))
    yield Trained(state["ema"], state["curve"], 0.0)
    storage.discard(name)


def _storage(job: Job, folder: Path) -> Storage:
    """What the nodes of a cluster have in common is DVC's remote; the shards are there afterwards."""
    import ray

    if sum(node["Alive"] for node in ray.nodes()) == 1:
        return Storage.local(folder)
    push(job.shards)
    return Storage(*shared_folder("checkpoints"))


def _trainer(job: Job, name: str, storage: Storage, settings: TrainStage, channel: Any) -> Any:
    from ray.train import CheckpointConfig, FailureConfig, RunConfig, ScalingConfig
    from ray.train.torch import TorchTrainer

    logging.getLogger("ray.train").setLevel(logging.ERROR)
    resources = {"CPU": float(settings.threads)} | ({"GPU": 1.0} if settings.use_gpu else {})
    return TorchTrainer(
        _worker_loop,
        train_loop_config={"job": job, "channel": channel},
        scaling_config=ScalingConfig(
            num_workers=settings.workers,
            use_gpu=settings.use_gpu,
            resources_per_worker=resources,
        ),
        run_config=RunConfig(
            name=name,
            storage_path=storage.path,
            storage_filesystem=storage.filesystem,
            failure_config=FailureConfig(max_failures=2),
            checkpoint_config=CheckpointConfig(num_to_keep=2),
        ),
    )


def _worker_loop(config: dict[str, Any]) -> None:
    """What each Ray Train worker runs."""
    import ray.train
    import ray.train.torch

    job: Job = config["job"]
    context = ray.train.get_context()
    rank, world = context.get_world_rank(), context.get_world_size()

    def load() -> State | None:
        checkpoint = ray.train.get_checkpoint()
        if checkpoint is None:
            return None
        with checkpoint.as_directory() as folder:
            return _read_state(Path(folder))

    def save(state: State, progress: Progress) -> None:
        metrics = {"images": progress.images, "loss": progress.loss}
        if rank > 0:
            ray.train.report(metrics)
            return
        with tempfile.TemporaryDirectory() as folder:
            torch.save(state, Path(folder) / STATE_FILE)
            ray.train.report(metrics, checkpoint=ray.train.Checkpoint.from_directory(folder))

    def mean(value: torch.Tensor) -> torch.Tensor:
        torch.distributed.all_reduce(value)
        return value / world

    def report(progress: Progress) -> None:
        if rank == 0:
            config["channel"].put.remote(progress)

    train(
        build_spec(job),
        settings_of(job),
        Worker(
            rank=rank,
            world=world,
            device=ray.train.torch.get_device(),
            wrap=ray.train.torch.prepare_model if world > 1 else lambda net: net,
            mean=mean if world > 1 else lambda value: value,
            load=load,
            save=save,
            report=report,
        ),
    )


class _Channel:
    """An actor that carries progress from the workers' machine to the driver's terminal."""

    def __init__(self) -> None:
        self._latest: Progress | None = None

    def put(self, progress: Progress) -> None:
        self._latest = progress

    def get(self) -> Progress | None:
        return self._latest


def _run(job: Job, name: str, storage: Storage, settings: TrainStage, report: Report) -> Any:
    """TorchTrainer.fit, reporting on the way.

    fit runs in a thread of its own, because in the main one it takes over Ctrl-C and ends the
    process as if training had succeeded.
    """
    import ray
    from ray.train import TrainingFailedError

    actor: Any = ray.remote(num_cpus=0)(_Channel)
    channel = actor.remote()
    running = _in_thread(_trainer(job, name, storage, settings, channel).fit)
    seen: Progress | None = None
    while True:
        done, _ = wait([running], timeout=POLL_S)
        latest: Progress | None = ray.get(channel.get.remote())
        if latest is not None and latest != seen:
            report(latest)
            seen = latest
        if done:
            break
    try:
        return running.result()
    except TrainingFailedError as error:
        raise _diagnosis(error) from error


def _in_thread(function: Callable[[], Any]) -> Future[Any]:
    future: Future[Any] = Future()

    def run() -> None:
        try:
            future.set_result(function())
        except BaseException as error:
            future.set_exception(error)

    threading.Thread(target=run, daemon=True).start()
    return future


def _diagnosis(error: Exception) -> Exception:
    """What the user can put right, or what may pass, as itself; everything else as it was."""
    failures = getattr(error, "worker_failures", {})
    for failure in failures.values():
        cause = getattr(failure, "_base_exc", failure)
        if isinstance(cause, NonFiniteLossError):
            return UserError(str(cause))
        if isinstance(cause, UserError | TransientError):
            return cause
    return error


def _read_state(folder: Path) -> State:
    state: State = torch.load(folder / STATE_FILE, map_location="cpu", weights_only=True)
    return state


def _check_resources(stage: str, workers: int, threads: int, use_gpu: bool) -> None:
    import ray

    have = ray.cluster_resources()
    if use_gpu and have.get("GPU", 0) < workers:
        raise UserError(
            f"train.{stage}: {workers} worker(s) with a GPU each, but the cluster has "
            f"{have.get('GPU', 0):g} GPUs; set train.{stage}.use_gpu to false or lower workers"
        )
    if have.get("CPU", 0) < workers * threads:
        raise UserError(
            f"train.{stage}: {workers} worker(s) of {threads} CPU(s), but the cluster has "
            f"{have.get('CPU', 0):g} CPUs; lower train.{stage}.workers or threads"
        )
