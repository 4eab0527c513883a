"""Hooks in Ray Train's controller and workers, by Ray's public interfaces.

The controller imports this module in its own process, and every run waits for it to start. So this module
does not import the libraries of training.
"""

import os
import signal
import threading
from types import FrameType
from typing import Any

import ray
from ray.train import UserCallback
from ray.train.backend import Backend, BackendConfig
from ray.train.torch import TorchConfig

from drdd.cluster.control import Control


class EndWithRun(UserCallback):
    """Ends Ray Train's controller, and so the workers, when the run is over.

    TorchTrainer.fit ends only by success or failure, and shutting Ray down while a thread waits in fit
    crashes the process. Ray unpickles callbacks in the controller; there a thread waits for the end of
    the run.
    """

    def __init__(self, control: Control) -> None:
        self._control = control

    def __reduce__(self) -> tuple[Any, ...]:
        return _in_actor, (self._control,)

    def _end_actor(self) -> None:
        self._control.wait_for_end()
        ray.kill(ray.get_runtime_context().current_actor)


def _in_actor(control: Control) -> EndWithRun:
    callback = EndWithRun(control)
    threading.Thread(target=callback._end_actor, daemon=True).start()
    return callback


class SavingTorchConfig(TorchConfig):
    """Ray's configuration for PyTorch, whose workers save a checkpoint on SIGTERM."""

    def __init__(self, control: Control) -> None:
        super().__init__()
        self.control = control

    @property
    def backend_cls(self) -> type[Backend]:
        return _SavingTorchBackend


class _SavingTorchBackend(Backend):
    """Ray's backend for PyTorch, which first installs the handler of SIGTERM."""

    share_cuda_visible_devices = True

    def __init__(self) -> None:
        self._torch: Backend = TorchConfig().backend_cls()

    def on_start(self, worker_group: Any, backend_config: BackendConfig) -> None:
        assert isinstance(backend_config, SavingTorchConfig)
        worker_group.execute(_catch_sigterm, backend_config.control)
        self._torch.on_start(worker_group, backend_config)

    def on_training_start(self, worker_group: Any, backend_config: BackendConfig) -> None:
        self._torch.on_training_start(worker_group, backend_config)

    def on_shutdown(self, worker_group: Any, backend_config: BackendConfig) -> None:
        self._torch.on_shutdown(worker_group, backend_config)


def _catch_sigterm(control: Control) -> None:
    """Make this worker save a checkpoint on SIGTERM, as when its node is preempted.

    Python runs signal handlers in the main thread, and Ray calls this function there.
    """

    def save_and_exit() -> None:
        control.request_save()
        os._exit(128 + signal.SIGTERM)

    def terminated(number: int, frame: FrameType | None) -> None:
        threading.Thread(target=save_and_exit, daemon=True).start()

    signal.signal(signal.SIGTERM, terminated)
