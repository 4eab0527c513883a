"""The flow `drdd`: every stage of dvc.yaml as a task, then the published model into service."""

import os
from pathlib import Path
from typing import Annotated, Any

from prefect import flow, runtime
from prefect.client.schemas.objects import State
from prefect.futures import PrefectFuture, wait
from prefect.states import Completed
from prefect.task_runners import ThreadPoolTaskRunner
from pydantic import Field

from flows import artifacts, graph
from flows.children import stopping_children
from flows.service import deploy_champion
from flows.stages import run_stage
from flows.workspace import trial_overrides, workspace

ROOT = Path(__file__).resolve().parent.parent
DEPLOYMENT = "full-pipeline"

Overrides = Annotated[
    list[str],
    Field(
        title="Overrides",
        description="Params for this run alone, such as train.noise.images=4000. Such a run works "
        "in a copy of the project and publishes under the alias `trial`, unless it overrides "
        "publish.alias too.",
    ),
]


Presets = Annotated[
    list[str],
    Field(
        title="Presets",
        description="Presets for this run alone, applied in order before the overrides, such as "
        "all-in-one-5; `drdd presets list` shows them.",
    ),
]


RUNNER: Any = ThreadPoolTaskRunner(max_workers=4)


@flow(name="drdd", task_runner=RUNNER)
def pipeline(overrides: Overrides = [], presets: Presets = []) -> State[None]:  # noqa: B006 - Prefect shows the defaults in its form
    """Train, evaluate, publish and serve; what has not changed since the last run is kept."""
    trial = trial_overrides(ROOT, overrides, presets)
    root = workspace(ROOT, str(runtime.flow_run.id), trial, presets)
    os.chdir(root)  # a run is a process of its own
    with stopping_children():
        done: dict[str, PrefectFuture[str]] = {}
        for stage in graph.stages(root):
            upstream = [done[name] for name in stage.upstream]
            done[stage.name] = run_stage.submit(stage.name, wait_for=upstream, return_state=False)
        wait(list(done.values()))  # a failure must not stop what runs beside it
    outcomes = {name: future.result() for name, future in done.items()}
    artifacts.leave(root)
    if not overrides and not presets:
        deploy_champion(root)
    ran = sum(outcome == "run" for outcome in outcomes.values())
    kept = len(outcomes) - ran
    said = f"{ran} of {len(outcomes)} stages ran, {kept} were up to date"
    return Completed(message=said if ran else "nothing has changed: every stage is up to date")
