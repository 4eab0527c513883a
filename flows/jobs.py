"""`python -m flows.jobs`: Prefect's worker of the pool, which runs the flows of prefect.yaml and no others.

Prefect lets a run and a deployment say by which command, in which environment and from which code they run.
Whoever may start runs could so run any command as the worker's user. This worker takes all of that from its
own files: the job template that it was started with, and prefect.yaml. A run may choose resources alone.
"""

import argparse
import asyncio
import json
import os
import re
import signal
import tempfile
import warnings
from collections.abc import Coroutine, Mapping
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.objects import FlowRun, WorkPool
from prefect.client.schemas.responses import DeploymentResponse
from prefect.utilities.templating import apply_values
from prefect.workers.base import BaseWorker
from prefect.workers.process import ProcessWorker

from drdd.cluster.sessions import JOBS
from drdd.errors import UserError
from drdd.params.yaml_text import load_yaml
from drdd.private_files import socket_base
from drdd.text import read_text

POOL = "drdd"
KINDS = ("process", "kubernetes")
FILE = Path("prefect.yaml")
# What a run may choose, and only as a quantity of Kubernetes, such as 500m or 4Gi.
CHOICES = ("cpu_request", "cpu_limit", "memory_request", "memory_limit")
QUANTITY = re.compile(r"\d{1,9}(\.\d{1,9})?(m|k|[KMGT]i?)?")
TEMPLATE: Mapping[str, Any] = {  # of a pool of processes
    "job_configuration": {"stream_output": True},
    "variables": {"type": "object", "properties": {}, "additionalProperties": False},
}


def template_of(file: Path | None) -> dict[str, Any]:
    """The base job template in a JSON file, else that of a pool of processes. Raises UserError."""
    if file is None:
        return dict(TEMPLATE)
    try:
        return dict(json.loads(read_text(file)))
    except (TypeError, ValueError) as error:
        raise UserError(f"{file} is no JSON object ({error}); write a base job template") from None


def worker_class(kind: str, template: Mapping[str, Any]) -> type[BaseWorker[Any, Any, Any]]:
    """Prefect's worker of this kind, whose jobs come from `template`, whatever the server says."""
    base: Any = ProcessWorker
    if kind == "kubernetes":
        from prefect_kubernetes.worker import KubernetesWorker  # only the image has it

        base = KubernetesWorker
    configuration: Any = base.job_configuration

    class Configuration(configuration):
        @classmethod
        async def resolve_for_flow_run(
            cls,
            flow_run: FlowRun,
            *,
            client: PrefectClient,
            work_pool: WorkPool,
            deployment: DeploymentResponse | None = None,
            **named: Any,
        ) -> Any:
            """Raises UserError, which the run's state shows, when it asks for more than it may."""
            if flow_run.deployment_id is None:
                raise UserError(
                    "this worker runs deployments of prefect.yaml alone; start one of them"
                )
            deployment = await client.read_deployment(flow_run.deployment_id)
            demand_ours(deployment)
            given = {**(deployment.job_variables or {}), **(flow_run.job_variables or {})}
            return await super().resolve_for_flow_run(
                flow_run.model_copy(update={"job_variables": checked(given)}),
                client=client,
                work_pool=work_pool.model_copy(update={"base_job_template": dict(template)}),
                deployment=deployment.model_copy(update={"job_variables": {}}),
                **named,
            )

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it takes the place of Prefect's own in this process
        return type("PipelineWorker", (base,), {"job_configuration": Configuration})


def demand_ours(deployment: DeploymentResponse) -> None:
    """Raises UserError unless the deployment runs what prefect.yaml says, by its steps."""
    content = load_yaml(FILE)
    known = {(one["name"], one["entrypoint"]) for one in content["deployments"]}
    named = (deployment.name, deployment.entrypoint)
    if named not in known or deployment.storage_document_id:
        raise UserError(
            f"the deployment {deployment.name} is not that of {FILE} here; `python -m flows.register` "
            "registers what it lists"
        )
    # Variables in them have their values here or where the deployment was registered.
    steps = apply_values(content["pull"], {}, remove_notset=False)
    if deployment.pull_steps not in (steps, content["pull"]):
        raise UserError(
            f"the deployment {deployment.name} has pull steps that {FILE} here has not; "
            "`python -m flows.register` puts them right"
        )


def checked(given: Mapping[str, Any]) -> dict[str, Any]:
    """The job variables of a run and its deployment. Raises UserError when they are more than resources."""
    refused = sorted(
        name
        for name, value in given.items()
        if name not in CHOICES or not (isinstance(value, str) and QUANTITY.fullmatch(value))
    )
    if refused:
        raise UserError(
            f"job variables {', '.join(refused)}: a run may choose only {', '.join(CHOICES)}, such as 500m "
            "or 4Gi; the rest is in the template that the worker was started with"
        )
    return dict(given)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--type", default=KINDS[0], choices=KINDS)
    parser.add_argument("--base-job-template", type=Path, help="JSON")
    parser.add_argument("--limit", type=int, default=4, help="runs at once")
    parser.add_argument("--with-healthcheck", action="store_true", help="GET /health, port 8080")
    given = parser.parse_args()
    template = template_of(given.base_job_template)
    # Prefect keeps files of runs in a folder of the temporary one, by a name that anybody may take first.
    prefix = f"{JOBS}{os.getpid()}-"
    with TemporaryDirectory(prefix=prefix, dir=socket_base(), ignore_cleanup_errors=True) as own:
        os.environ["TMPDIR"] = tempfile.tempdir = own
        worker = worker_class(given.type, template)(
            work_pool_name=POOL, limit=given.limit, base_job_template=template
        )
        with suppress(asyncio.CancelledError):
            asyncio.run(_until_told(worker.start(with_healthcheck=given.with_healthcheck)))


async def _until_told(work: Coroutine[Any, Any, None]) -> None:
    """Await `work`, until SIGTERM or SIGINT: a KeyboardInterrupt may be lost in what runs just then."""
    task = asyncio.current_task()
    assert task is not None
    for told in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(told, task.cancel)
    await work


if __name__ == "__main__":
    main()
