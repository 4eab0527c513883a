"""Puts the published champion into service on the cluster that the run used."""

import json
from pathlib import Path

from prefect import task

from drdd.cluster import ray_cluster
from drdd.errors import UserError
from drdd.params import FILE, load
from drdd.registry.location import cached
from drdd.serving.app import deploy
from drdd.stages.paths import PUBLISHED


@task(name="serve", task_run_name="serve", retries=1, retry_delay_seconds=10)
def deploy_champion(root: Path) -> str:
    """Serve the version that publish promoted; the running replica swaps to it without a pause.

    A version that was not promoted (its gate failed) changes nothing.
    """
    published = json.loads((root / PUBLISHED).read_text())
    if not published["promoted"]:
        return f"version {published['version']} was not promoted; the service is left as it is"
    try:
        folder = cached(published["version"], published["registry"], root)
    except UserError as error:
        remedy = "if the registry lost it, `dvc repro --single-item --force publish` restores it"
        raise UserError(f"{error}; {remedy}") from error
    with ray_cluster(cpus=1):
        changed = deploy(folder, published["version"], load(root / FILE).serve.threads)
    return f"version {published['version']} " + ("now serves" if changed else "serves already")
