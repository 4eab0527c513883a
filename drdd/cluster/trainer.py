"""Ray Train's trainer and PyTorch backend, without the processes and imports that a run of ours never uses.

The controller unpickles what is here in a process of its own, whose start everyone waits for: nothing in
this module imports torch.
"""

from contextlib import suppress
from typing import Any

import ray
from ray.exceptions import GetTimeoutError
from ray.train._internal.utils import get_address_and_port
from ray.train.backend import Backend, BackendConfig
from ray.train.v2._internal.callbacks import DatasetsCallback
from ray.train.v2._internal.callbacks.placement_group_callback import PlacementGroupCleanerCallback
from ray.train.v2._internal.execution.context import TrainRunContext
from ray.train.v2._internal.execution.controller import TrainController
from ray.train.v2._internal.execution.scaling_policy import FixedScalingPolicy
from ray.train.v2._internal.execution.worker_group import WorkerGroup
from ray.train.v2.api.data_parallel_trainer import DataParallelTrainer

from drdd.cluster.session import is_private

LEAVE_S = 5.0


class Trainer(DataParallelTrainer):
    """Its cluster may be private: one node that ends with its driver, reservations and all."""

    def _create_default_callbacks(self) -> list[Any]:
        unused: tuple[type, ...] = (DatasetsCallback,)
        if is_private():
            unused += (PlacementGroupCleanerCallback,)
        every = super()._create_default_callbacks()
        return [callback for callback in every if not isinstance(callback, unused)]

    def _initialize_and_run_controller(self, **parts: Any) -> Any:
        # The type that Ray tells a type checker is its older one.
        scaling: Any = self.scaling_config
        if not is_private() or scaling.elasticity_enabled:
            return super()._initialize_and_run_controller(**parts)
        parts["scaling_policy"] = _Alone(scaling)
        remote: Any = ray.remote
        controller = remote(num_cpus=0)(_Controller).remote(**parts)
        ray.get(controller.run.remote())
        return ray.get(controller.get_result.remote())


class _Alone(FixedScalingPolicy):
    """Tells no autoscaler what it needs: there are no more nodes to be had."""

    def after_controller_start(self, train_run_context: TrainRunContext) -> None:
        """Nothing."""

    def _maybe_send_resource_request(self) -> None:
        """None."""


class _Group(WorkerGroup):
    @staticmethod
    def _get_worker_runtime_env(custom_runtime_env: Any) -> Any:
        """On a private cluster all have the driver's environment; with one to set, no process that
        waits can be used."""
        return custom_runtime_env


class _Controller(TrainController):
    worker_group_cls = _Group


class Torch(BackendConfig):
    """PyTorch's process group, and workers that ask for a checkpoint when they are told to go."""

    @property
    def backend_cls(self) -> Any:
        return _Backend


class _Backend(Backend):
    share_cuda_visible_devices = True

    def on_start(self, worker_group: Any, backend_config: BackendConfig) -> None:
        world = len(worker_group)
        address, port = worker_group.execute_single(0, get_address_and_port)
        where = f"tcp://[{address}]:{port}" if ":" in address else f"tcp://{address}:{port}"
        begun = [
            worker_group.execute_single_async(rank, _begin, rank, world, where)
            for rank in range(world)
        ]
        ray.get(begun)

    def on_shutdown(self, worker_group: Any, backend_config: BackendConfig) -> None:
        with suppress(GetTimeoutError):
            ray.get(worker_group.execute_async(_end), timeout=LEAVE_S)


def _begin(rank: int, world: int, where: str) -> None:
    """In a worker's main thread."""
    from drdd.cluster.worker import catch_sigterm, join

    catch_sigterm()
    if world > 1:
        join(rank, world, where)


def _end() -> None:
    from drdd.cluster.worker import leave

    leave()
