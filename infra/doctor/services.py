"""What the project talks to: the registry's store and its clock, Prefect, Ray."""

import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import httpx
import yaml

from drdd.errors import UserError
from drdd.params import Params
from drdd.registry.location import default_registry
from infra.doctor.buckets import Keys, trial
from infra.doctor.finding import ANSWER_S, Finding, Site, said

POOL = "drdd"
UP = "drdd up"
MOST_SKEW_S, MUCH_SKEW_S = 15 * 60, 60  # S3 refuses the first
STARTING_S = 3 * ANSWER_S  # importing Ray takes seconds on a loaded machine
# Asks a cluster's head without joining the cluster, which would start processes here.
ASK_RAY = """
import json, sys
from ray._raylet import GcsClient
from ray.core.generated import gcs_pb2
client = GcsClient(address=sys.argv[1])
nodes = [
    {key: value for key, value in node.resources_total.items() if key in ("CPU", "GPU")}
    for node in client.get_all_node_info(timeout=4).values()
    if node.state == gcs_pb2.GcsNodeInfo.ALIVE
]
about = client.internal_kv_get(b"CLUSTER_METADATA", b"cluster", 4)
print(json.dumps({"nodes": nodes, "version": json.loads(about)["ray_version"] if about else ""}))
"""


def registry(site: Site) -> list[Finding]:
    try:
        uri = _registry(site)
    except UserError as error:
        return [Finding("registry", "problem", str(error).splitlines()[0], "correct params.yaml")]
    if not uri.startswith("s3://"):
        return [_folder(site.root / uri)]
    found = _keys(site, uri)
    return [found if isinstance(found, Finding) else trial("registry", uri, found, True)]


def _registry(site: Site) -> str:
    return site.environment.get("DRDD_REGISTRY") or default_registry(site.root)


def _keys(site: Site, uri: str) -> Keys | Finding:
    """As `drdd models` and the publishing stage would find them."""
    if (settings := site.bucket_settings) is not None:
        return Keys.of(settings)
    do = f"{UP}; or set AWS_* to reach another S3 (`dvc repro` starts a store while it publishes)"
    return Finding("registry", "note", f"{uri}: the local stack is not running", do)


def _folder(folder: Path) -> Finding:
    there = next(one for one in (folder, *folder.absolute().parents) if one.exists())
    try:
        with tempfile.TemporaryFile(dir=there) as file:
            file.write(b"x")
    except OSError as error:
        do = "make room, change its permissions, or set publish.registry to another place"
        return Finding("registry", "problem", f"{there} cannot be written: {said(error)}", do)
    return Finding("registry", "ok", f"{folder} may be written")


def clock(site: Site) -> list[Finding]:
    """Against the store's: a signature that is 15 minutes off is refused."""
    keys = None
    try:
        uri = _registry(site)
        keys = _keys(site, uri) if uri.startswith("s3://") else None
    except UserError:
        pass
    if keys is None or isinstance(keys, Finding):
        return [Finding("clock", "ok", "there is no S3 server to compare it with")]
    endpoint = keys.endpoint or "https://s3.amazonaws.com"
    try:
        began = time.time()
        answer = httpx.get(endpoint, timeout=ANSWER_S)
        ours = (began + time.time()) / 2
        theirs = parsedate_to_datetime(answer.headers["Date"]).timestamp()
    except (httpx.HTTPError, httpx.InvalidURL, KeyError, ValueError) as error:
        do = "see the check of the registry"
        return [Finding("clock", "note", f"{endpoint} does not tell its time: {said(error)}", do)]
    skew = ours - theirs
    found = f"{abs(skew):.0f} s {'ahead of' if skew > 0 else 'behind'} {endpoint}"
    do = "set the clock right: timedatectl set-ntp true (S3 refuses requests from 15 minutes on)"
    if abs(skew) >= MOST_SKEW_S:
        return [Finding("clock", "problem", found, do)]
    if abs(skew) >= MUCH_SKEW_S:
        return [Finding("clock", "warning", found, do)]
    return [Finding("clock", "ok", f"within {max(2.0, abs(skew) + 1):.0f} s of {endpoint}")]


def prefect(site: Site) -> list[Finding]:
    """Server, version, work pool, worker, deployments."""
    url = site.setting("PREFECT_API_URL")
    if not url:
        do = f"{UP}; `dvc repro` works without it"
        return [Finding("prefect", "note", "no server: the local stack is not running", do)]
    try:
        with httpx.Client(
            base_url=url, headers=_headers(site), auth=_login(site), timeout=ANSWER_S
        ) as client:
            client.get("/health").raise_for_status()
            return [_server(client, url), *_pool(client, site.root)]
    except httpx.HTTPStatusError as error:
        do = "check PREFECT_API_URL, PREFECT_API_KEY and PREFECT_API_AUTH_STRING"
        found = f"{url} answers {error.response.status_code} to {error.request.url.path}"
    except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
        do, found = f"{UP}, or check PREFECT_API_URL", f"{url} does not answer: {said(error)}"
    return [Finding("prefect", "problem", found, do)]


def _headers(site: Site) -> dict[str, str]:
    key = site.environment.get("PREFECT_API_KEY")
    return {"Authorization": f"Bearer {key}"} if key else {}


def _login(site: Site) -> tuple[str, str] | None:
    user, colon, password = site.environment.get("PREFECT_API_AUTH_STRING", "").partition(":")
    return (user, password) if colon else None


def _server(client: httpx.Client, url: str) -> Finding:
    theirs, ours = client.get("/admin/version").raise_for_status().json(), version("prefect")
    if theirs != ours:
        do = "let both be the version of requirements.lock: make setup, here and there"
        return Finding("prefect", "warning", f"{url} is {theirs}, the client {ours}", do)
    return Finding("prefect", "ok", f"{url}, version {theirs}")


def _pool(client: httpx.Client, root: Path) -> list[Finding]:
    register = f"{UP}, or `python -m flows.register`"
    answer = client.get(f"/work_pools/{POOL}")
    if answer.status_code == 404:
        return [Finding("work pool", "problem", f"there is no work pool {POOL}", register)]
    if answer.raise_for_status().json().get("is_paused"):
        do = f"prefect work-pool resume {POOL}"
        return [Finding("work pool", "problem", f"{POOL} is paused", do)]
    workers = client.post(f"/work_pools/{POOL}/workers/filter", json={}).raise_for_status().json()
    online = sum(worker["status"] == "ONLINE" for worker in workers)
    if not online:
        do = f"{UP}, or `python -m flows.worker` where flows shall run"
        found = f"{POOL} has no worker online; runs would wait"
        return [Finding("work pool", "problem", found, do)]
    there = client.post("/deployments/filter", json={}).raise_for_status().json()
    names = {one["name"] for one in there if one["work_pool_name"] == POOL}
    wanted = _deployments(root)
    if missing := [name for name in wanted if name not in names]:
        found = f"{POOL} lacks the deployments {', '.join(missing)}"
        return [Finding("work pool", "problem", found, register)]
    found = f"{POOL}: {online} worker(s) online, {len(wanted)} deployments"
    return [Finding("work pool", "ok", found)]


def _deployments(root: Path) -> list[str]:
    """As prefect.yaml names them."""
    try:
        content: Any = yaml.safe_load((root / "prefect.yaml").read_text())
        return [str(one["name"]) for one in content["deployments"]]
    except (OSError, yaml.YAMLError, KeyError, TypeError):
        return ["full-pipeline"]


def ray(site: Site) -> list[Finding]:
    """The cluster, and whether it has what params ask for."""
    address = site.setting("RAY_ADDRESS")
    if not address:
        do = f"{UP}, or set RAY_ADDRESS; without, each stage starts a cluster of its own"
        return [Finding("ray", "note", "no cluster: the local stack is not running", do)]
    host, _, port = address.removeprefix("ray://").rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), ANSWER_S).close()
    except (OSError, ValueError) as error:
        do = f"{UP}, or check RAY_ADDRESS"
        return [Finding("ray", "problem", f"{address} does not answer: {said(error)}", do)]
    if address.startswith("ray://"):
        do = "set RAY_ADDRESS to host:6379: training and serving want a driver in the cluster"
        return [Finding("ray", "warning", f"{address} answers, but is Ray's client port", do)]
    asked = _asked(address, site)
    if asked is None:
        do = "see Ray's logs; is RAY_AUTH_MODE here as it is there, and the version the same?"
        return [Finding("ray", "problem", f"{address} takes connections, but says nothing", do)]
    return [_cluster(address, asked, site.params)]


def _asked(address: str, site: Site) -> dict[str, Any] | None:
    settings = {**os.environ, **site.environment}
    settings["RAY_AUTH_MODE"] = site.setting("RAY_AUTH_MODE") or "disabled"
    command = [sys.executable, "-c", ASK_RAY, address]
    try:
        done = subprocess.run(
            command, env=settings, capture_output=True, text=True, timeout=STARTING_S
        )
        return dict(json.loads(done.stdout.strip().splitlines()[-1]))
    except (subprocess.SubprocessError, OSError, ValueError, IndexError):
        return None


def _cluster(address: str, asked: Mapping[str, Any], params: Params | None) -> Finding:
    nodes, theirs, ours = asked["nodes"], asked["version"], version("ray")
    have = {kind: sum(node.get(kind, 0) for node in nodes) for kind in ("CPU", "GPU")}
    found = f"{address}: {len(nodes)} node(s), {have['CPU']:g} CPUs, {have['GPU']:g} GPUs"
    if theirs and theirs != ours:
        do = "let both be the version of requirements.lock"
        return Finding("ray", "problem", f"{found}; it is {theirs}, the client {ours}", do)
    for name, kind, wanted in _wishes(params) if params else []:
        if have[kind] < wanted:
            do = f"lower {name} in params.yaml, or add nodes"
            return Finding("ray", "problem", f"{found}; {name} want {wanted:g} {kind}s", do)
    return Finding("ray", "ok", f"{found}, version {theirs or ours}")


def _wishes(params: Params) -> list[tuple[str, str, float]]:
    """What must be had at once: the params that ask, the kind, how many."""
    wishes: list[tuple[str, str, float]] = []
    for name, stage in (("noise", params.train.noise), ("residual", params.train.residual)):
        least = stage.min_workers or stage.workers
        wishes.append((f"train.{name}.workers x threads", "CPU", least * stage.threads))
        wishes.append((f"train.{name}.workers x gpus", "GPU", least * stage.gpus))
    serve = params.serve
    return [*wishes, ("serve.replicas x gpus", "GPU", serve.replicas * serve.gpus)]
