"""`python -m flows.register`: register the work pool and the deployments of prefect.yaml.

Run it in the project's folder. Running it again changes nothing.
"""

import argparse
import subprocess
import sys
from pathlib import Path
from typing import Any

from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.actions import WorkPoolCreate, WorkPoolUpdate
from prefect.exceptions import ObjectNotFound

from drdd.errors import TransientError
from flows.jobs import KINDS, POOL, template_of

PREFECT = str(Path(sys.executable).with_name("prefect"))


def register(kind: str, template: Path | None = None) -> None:
    """Register. kind: of the pool, process or kubernetes; template: a base job template, JSON. The server
    refuses job variables that it does not list, and so does the worker (flows/jobs.py).

    Raises TransientError with Prefect's message when the deployments are refused.
    """
    with get_client(sync_client=True) as client:
        _pool(client, kind, template_of(template))
        resumed = _resumed(client)
    done = subprocess.run(
        [PREFECT, "--no-prompt", "deploy", "--all"], capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise TransientError(f"prefect deploy: {done.stdout.strip()} {done.stderr.strip()}")
    with get_client(sync_client=True) as client:
        for deployment in client.read_deployments():
            for schedule in deployment.schedules:
                if deployment.name in resumed and not schedule.active:
                    client.update_deployment_schedule(deployment.id, schedule.id, active=True)


def _resumed(client: SyncPrefectClient) -> set[str]:
    """The deployments whose schedules a user has resumed; they are paused in prefect.yaml."""
    return {
        deployment.name
        for deployment in client.read_deployments()
        if any(schedule.active for schedule in deployment.schedules)
    }


def _pool(client: SyncPrefectClient, kind: str, template: dict[str, Any]) -> None:
    try:
        client.read_work_pool(POOL)
    except ObjectNotFound:
        client.create_work_pool(WorkPoolCreate(name=POOL, type=kind, base_job_template=template))
        return
    client.update_work_pool(POOL, WorkPoolUpdate(base_job_template=template))


def arguments(about: str | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=about)
    parser.add_argument("--type", default=KINDS[0], choices=KINDS)
    parser.add_argument("--base-job-template", type=Path, help="JSON")
    return parser.parse_args()


if __name__ == "__main__":
    given = arguments(__doc__)
    register(given.type, given.base_job_template)
