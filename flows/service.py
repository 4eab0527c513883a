"""Puts the published champion into service on the cluster that the run used."""

import json
from pathlib import Path

from prefect import task

from drdd.cluster import ray_cluster
from drdd.params import FILE, load
from drdd.serving.app import deploy
from drdd.stages.paths import PUBLISHED


@task(name="serve", task_run_name="serve", retries=1, retry_delay_seconds=10)
def deploy_champion(root: Path) -> str:
    """Serve the aliases of serve.models; the running replicas swap to a new version without a pause.

    A version that was not promoted (its gate failed) changes nothing.
    """
    published = json.loads((root / PUBLISHED).read_text())
    version = published["version"]
    if not published["promoted"]:
        return f"version {version} was not promoted; the service is left as it is"
    with ray_cluster(cpus=1):
        changed = deploy(load(root / FILE).serve, published["registry"], root)
    return f"version {version} " + ("now serves" if changed else "serves already")
