"""Deploy the published champion on the cluster of the run."""

import json
import os
from pathlib import Path

import httpx
from prefect import task

from drdd.cluster.connection import ray_cluster
from drdd.params import FILE, load
from drdd.shown import short
from drdd.stages.paths import PUBLISHED
from flows.stages import may_pass


@task(task_run_name="serve", retries=2, retry_delay_seconds=[5, 20], retry_condition_fn=may_pass)
def deploy_champion(root: Path, fresh: bool) -> str:
    """Serve the aliases of serve.models. Running replicas switch to a new version without a pause.

    root: the project, to resolve a registry that is a folder; fresh: whether the run has made anything
    new, so that the service may have to change. A version that was not promoted changes nothing.
    """
    published = json.loads(PUBLISHED.read_text())
    version = published["version"]
    if not published["promoted"]:
        return f"version {short(version)} was not promoted; the service is left as it is"
    if elsewhere := os.environ.get("DRDD_SERVICE"):  # a separate service, which follows aliases too
        there = _serves(elsewhere, published["alias"], version)
        return (
            f"{elsewhere} "
            + ("serves" if there else "does not serve yet")
            + f" version {short(version)}"
        )
    address = f"http://127.0.0.1:{os.environ['DRDD_SERVE_PORT']}"
    if fresh or not _serves(address, published["alias"], version):
        from drdd.serving.app import deploy

        with ray_cluster(cpus=1):
            deploy(load(FILE).serve, published["registry"], root)
    return f"{address} serves version {short(version)}"


def _serves(address: str, alias: str, version: str) -> bool:
    try:
        models = httpx.get(f"{address}/v1/models", timeout=5).raise_for_status().json()["models"]
    except (httpx.HTTPError, ValueError, KeyError):
        return False
    return any(one["alias"] == alias and one["version"] == version for one in models)
