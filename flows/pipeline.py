"""The flow `drdd`: every stage of dvc.yaml as a task, then the published model into service."""

from pathlib import Path
from typing import Annotated

from prefect import flow, runtime
from prefect.futures import PrefectFuture, wait
from prefect.task_runners import ThreadPoolTaskRunner
from pydantic import Field

from flows import artifacts, graph
from flows.children import stopping_children
from flows.service import deploy_champion
from flows.stages import run_stage
from flows.workspace import trial_alias, workspace

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


@flow(name="drdd", task_runner=ThreadPoolTaskRunner(max_workers=4))
def pipeline(overrides: Overrides = []) -> str:  # noqa: B006 - Prefect shows the default in its form
    """Train, evaluate, publish and serve; what has not changed since the last run is kept.

    Returns one sentence on what was done.
    """
    root = workspace(ROOT, str(runtime.flow_run.id), trial_alias(overrides))
    with stopping_children():
        done: dict[str, PrefectFuture[str]] = {}
        for stage in graph.stages(root):
            upstream = [done[name] for name in stage.upstream]
            done[stage.name] = run_stage.submit(root, stage.name, wait_for=upstream)
        wait(list(done.values()))  # a failure must not stop what runs beside it
    outcomes = {name: future.result() for name, future in done.items()}
    artifacts.leave(root)
    if not overrides:
        deploy_champion(root)
    ran = sum(outcome == "run" for outcome in outcomes.values())
    if not ran:
        return "nothing has changed: every stage is up to date"
    return f"{ran} of {len(outcomes)} stages ran, {len(outcomes) - ran} were up to date"
