"""The flow `drdd`: the stages of dvc.yaml as tasks, in a workspace for each run."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

from prefect import flow, runtime
from prefect.client.schemas.objects import State
from prefect.futures import wait
from prefect.states import Completed, Failed
from prefect.task_runners import ThreadPoolTaskRunner
from pydantic import Field

from drdd.errors import UserError
from flows import artifacts, ends, experiments, graph
from flows.children import stopping_children
from flows.reproduce import RAN, RESTORED, UNCHANGED, current
from flows.service import deploy_champion
from flows.stages import KEPT, RunPolicy, processes, run_stage
from flows.workspace import Workspace, trial_overrides, workspace

STARTS = 5  # maximum starts of one run, after crashes and lost machines
Minutes = Annotated[int, Field(ge=0)]
RUNNER: Any = ThreadPoolTaskRunner(max_workers=8)
PUBLISH = "publish"


@flow(name="drdd", task_runner=RUNNER)
def pipeline(
    rev: str = "",
    overrides: list[str] = [],  # noqa: B006 - Prefect shows the defaults in its form
    presets: list[str] = [],  # noqa: B006
    target: str = "",
    keep: list[str] = [],  # noqa: B006
    force: bool = False,
    publish: bool = True,
    promote: bool = True,
    stall_minutes: Minutes = 60,
    timeout_minutes: Minutes = 0,
) -> State[None]:
    """Train, evaluate, publish and serve. Results of earlier runs are reused.

    Args:
        rev: A commit, tag or branch of the project. Empty: the project folder as it is, uncommitted
            changes included.
        overrides: Params for this run only, such as train.noise.images=4000. Such a run is a trial: it
            publishes a version and moves no alias, unless it overrides publish.* too.
        presets: Presets for this run only, applied in order before the overrides, such as
            all-in-one-5; `drdd presets list` shows them.
        target: Run this stage of dvc.yaml and what it depends on, such as train_residual. Empty: all.
        keep: Stages that are not run: their outputs in dvc.lock are used even if their dependencies have
            changed, such as train_noise.
        force: Run all stages, even those that are up to date.
        publish: Publish the model as a version in the registry.
        promote: Move the alias to the version if its gates are passed.
        stall_minutes: A stage without output for this time is stopped and retried. 0: never.
        timeout_minutes: A stage that takes longer than this is stopped. 0: never.
    """
    root, started = Path.cwd(), int(runtime.flow_run.run_count or 1)
    if started > STARTS:
        raise UserError(
            f"given up: the run's process was lost {STARTS} times; see the worker's log"
        )
    asked = trial_overrides(overrides, presets)
    changed = asked if promote else [*asked, "publish.promote=false"]
    with workspace(root, str(runtime.flow_run.id), rev, changed, presets) as place:
        os.chdir(place.path)  # every run has its own process
        listed = graph.stages(Path(), target, () if publish else (PUBLISH,))
        names = [stage.name for stage in listed]
        unknown = sorted(set(keep) - set(names))
        if unknown:
            raise UserError(
                f"keep: {', '.join(unknown)} is no stage of this run ({', '.join(names)})"
            )
        policy = RunPolicy(
            current=frozenset() if force else current(names),
            keep=frozenset(keep),
            force=force,
            stall_s=60 * stall_minutes,
            timeout_s=60 * timeout_minutes,
        )
        with stopping_children():
            if set(names) - policy.current - policy.keep:
                processes.prepare(1)  # the first stage is alone
            outcomes = _run(listed, policy)
            processes.close()
        return _end(root, place, outcomes, served=not asked and not rev and promote)


def _run(listed: Sequence[graph.Stage], policy: RunPolicy) -> dict[str, str]:
    """The outcome of each stage; all outputs are there afterwards, and the published version is complete.

    Raises the error of the first stage that failed.
    """
    done: dict[str, Any] = {}
    for stage in listed:
        upstream = {name: done[name] for name in stage.upstream if name in done}
        done[stage.name] = run_stage.submit(stage.name, policy, upstream)
    wait(list(done.values()))  # a failure must not stop concurrent stages
    outcomes = {name: future.result() for name, future in done.items()}
    _push(policy)
    ends.verify_outputs(outcomes)
    if outcomes.get(PUBLISH, KEPT) != KEPT and ends.is_unpublished():
        # dvc.lock or the cache refers to another registry, or to a deleted version.
        again = run_stage.submit(PUBLISH, replace(policy, force=True, keep=frozenset()), {})
        outcomes[PUBLISH] = again.result()
        _push(policy)
        ends.verify_outputs(outcomes)
    return outcomes


def _push(policy: RunPolicy) -> None:
    """Wait for the pushes that run beside later stages, and repeat those that failed."""
    again = replace(policy, current=frozenset(), keep=frozenset(), force=False)
    for stage in processes.unpushed():
        run_stage.submit(stage, again, {}, pushed=True).result()


def _end(root: Path, place: Workspace, outcomes: Mapping[str, str], served: bool) -> State[None]:
    """The final state of the run."""
    experiment = experiments.save(place.path, place.baseline, str(runtime.flow_run.name))
    if "judge" in outcomes:
        artifacts.judged(place.path)
    notes = []
    if served and PUBLISH in outcomes and ends.has_service():
        fresh = any(outcome not in (UNCHANGED, KEPT) for outcome in outcomes.values())
        notes.append(f"service: {deploy_champion(root, fresh)}")
    artifacts.links(place.path, experiment, notes)
    said = _said(outcomes)
    if PUBLISH in outcomes and (reasons := ends.not_promoted()):
        return Failed(name="GateMissed", message=f"{'; '.join(reasons)} ({said})")
    return Completed(message=said)


def _said(outcomes: Mapping[str, str]) -> str:
    ran, restored = (list(outcomes.values()).count(word) for word in (RAN, RESTORED))
    if not ran + restored:
        return "nothing has changed: every stage is up to date"
    rest = len(outcomes) - ran - restored
    return (
        f"{ran} of {len(outcomes)} stages ran, {restored} were restored from the cache, "
        f"{rest} were up to date"
    )
