"""What Ray Train's controller, a process of its own, does at our bidding."""

import threading
from typing import Any

import ray
from ray.train.v2._internal.execution.callback import ControllerCallback
from ray.train.v2._internal.execution.context import TrainRunContext
from ray.train.v2._internal.execution.controller.state import ResizingState, TrainControllerState

from drdd.cluster.channel import GRACE_S, Channel


class Steering(ControllerCallback):
    """Saves before running workers are replaced by more or fewer, and ends the run when it is told to.

    Trainer.fit, in whose thread the driver waits, has no other end: and to shut Ray down
    while a thread waits in it crashes the process.
    """

    def __init__(self, channel: Channel) -> None:
        self._channel = channel

    def after_controller_start(self, train_run_context: TrainRunContext) -> None:
        own = ray.get_runtime_context().current_actor
        threading.Thread(target=self._end_when_told, args=(own,), daemon=True).start()

    def after_controller_state_update(
        self, previous_state: TrainControllerState, current_state: TrainControllerState
    ) -> None:
        if isinstance(current_state, ResizingState):
            self._channel.ask(GRACE_S)

    def _end_when_told(self, own: Any) -> None:
        self._channel.wait_for_end()
        ray.kill(own)  # the workers are its own, and go with it
