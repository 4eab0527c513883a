"""What the project talks to: the registry's store and its clock, Prefect, Ray."""

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from email.utils import parsedate_to_datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import httpx

from drdd.errors import UserError
from drdd.params import Params
from drdd.params.yaml_text import load_yaml
from drdd.registry.location import default_registry
from drdd.registry.signing import TRUSTED, trusted_text
from infra.doctor.finding import ANSWER_S, NotOk, Site, note, problem, said, warning
from infra.doctor.places import bucket, endpoint, writable
from infra.local.serving import now, served
from infra.local.settings import LOOPBACK
from infra.local.supervisor import Supervisor

POOL = "drdd"
UP = "drdd up"
MOST_SKEW_S, MUCH_SKEW_S = 15 * 60, 60  # S3 refuses the first
STARTING_S = 3 * ANSWER_S  # importing Ray takes seconds on a loaded machine
# Asks a cluster's head without joining the cluster, which would start processes here.
ASK_RAY = """
import json, os, sys
from pathlib import Path
from urllib.request import Request, urlopen
from ray.job_submission import JobSubmissionClient
from ray.util.state import list_nodes
address = sys.argv[1]
nodes = [
    {key: value for key, value in node.resources_total.items() if key in ("CPU", "GPU")}
    for node in list_nodes(address, limit=10_000, timeout=4)
    if node.state == "ALIVE"
]
file = Path(os.environ.get("RAY_AUTH_TOKEN_PATH", "/nonexistent"))
token = os.environ.get("RAY_AUTH_TOKEN") or (file.read_text().strip() if file.exists() else "")
url = JobSubmissionClient(address).get_address() + "/api/version"
asked = Request(url, headers={"Authorization": f"Bearer {token}"} if token else {})
with urlopen(asked, timeout=4) as answer:
    print(json.dumps({"nodes": nodes, "version": json.load(answer)["ray_version"]}))
"""


def registry(site: Site) -> str:
    try:
        uri = _registry(site)
    except UserError as error:
        raise problem(str(error).splitlines()[0], "correct params.yaml") from None
    if uri.startswith("s3://"):
        return bucket(site, uri, {}, conditional=True)
    do = "make room, change its permissions, or set publish.registry to another place"
    return writable(site.root / uri, do)


def _registry(site: Site) -> str:
    return site.environment.get("DRDD_REGISTRY") or default_registry(site.root)


def clock(site: Site) -> str:
    """Against the store's: a signature that is 15 minutes off is refused."""
    try:
        settings = site.bucket_settings if _registry(site).startswith("s3://") else None
    except UserError:
        settings = None
    if settings is None:
        return "there is no S3 server to compare it with"
    server = endpoint(settings) or "https://s3.amazonaws.com"
    try:
        began = time.time()
        answer = httpx.get(server, timeout=ANSWER_S)
        ours = (began + time.time()) / 2
        skew = ours - parsedate_to_datetime(answer.headers["Date"]).timestamp()
    except (httpx.HTTPError, httpx.InvalidURL, KeyError, ValueError) as error:
        do = "see the check of the registry"
        raise note(f"{server} does not tell its time: {said(error)}", do) from None
    if abs(skew) >= MUCH_SKEW_S:
        found = f"{abs(skew):.0f} s {'ahead of' if skew > 0 else 'behind'} {server}"
        do = (
            "set the clock right: timedatectl set-ntp true (S3 refuses requests from 15 minutes on)"
        )
        raise (problem if abs(skew) >= MOST_SKEW_S else warning)(found, do)
    return f"within {max(2.0, abs(skew) + 1):.0f} s of {server}"


def prefect(site: Site) -> str:
    """The server, its version, and whether it asks who is there."""
    if not site.setting("PREFECT_API_URL"):
        do = f"{UP}; `dvc repro` works without it"
        raise note("no server: the local stack is not running", do)
    with _prefect_client(site) as client:
        theirs, ours = _json(client.get("/admin/version")), version("prefect")
        stranger = httpx.get(f"{client.base_url}admin/version", timeout=ANSWER_S)
    if stranger.is_success:
        do = "set PREFECT_API_AUTH_STRING there and here: docs/orchestration.md, who may use the server"
        raise warning(f"{client.base_url} answers anybody, and whoever reaches it runs code", do)
    if theirs != ours:
        do = "let both be the version of requirements.lock: make setup, here and there"
        raise warning(f"{client.base_url} is {theirs}, the client {ours}", do)
    return f"{client.base_url}, version {theirs}"


def work_pool(site: Site) -> str | None:
    """Its worker and its deployments; None where no server answers, which another check says."""
    register = f"{UP}, or `python -m flows.register`"
    if not site.setting("PREFECT_API_URL"):
        return None
    try:
        with _prefect_client(site) as client:
            answer = client.get(f"/work_pools/{POOL}")
            if answer.status_code == 404:
                raise problem(f"there is no work pool {POOL}", register)
            pool = _json(answer)
            workers = _json(client.post(f"/work_pools/{POOL}/workers/filter", json={}))
            deployments = _json(client.post("/deployments/filter", json={}))
    except _NoAnswer:
        return None
    if pool.get("is_paused"):
        raise problem(f"{POOL} is paused", f"prefect work-pool resume {POOL}")
    online = sum(worker["status"] == "ONLINE" for worker in workers)
    if not online:
        do = f"{UP}, or `python -m flows.worker` where flows shall run"
        raise problem(f"{POOL} has no worker online; runs would wait", do)
    names = {one["name"] for one in deployments if one["work_pool_name"] == POOL}
    wanted = _deployments(site.root)
    if missing := [name for name in wanted if name not in names]:
        raise problem(f"{POOL} lacks the deployments {', '.join(missing)}", register)
    return f"{POOL}: {online} worker(s) online, {len(wanted)} deployments"


class _NoAnswer(NotOk):
    """The server's, or one that says no more than a status."""


@contextmanager
def _prefect_client(site: Site) -> Iterator[httpx.Client]:
    """Of a server that is healthy. Raises _NoAnswer, also when it stops answering in the block."""
    url = site.setting("PREFECT_API_URL") or ""
    key = site.environment.get("PREFECT_API_KEY")
    own = "PREFECT_API_URL" in site.environment  # then the stack's string is none of that server's
    auth = (site.environment.get if own else site.setting)("PREFECT_API_AUTH_STRING") or ""
    user, colon, password = auth.partition(":")
    try:
        with httpx.Client(
            base_url=url,
            headers={"Authorization": f"Bearer {key}"} if key else {},
            auth=(user, password) if colon else None,
            timeout=ANSWER_S,
        ) as client:
            client.get("/health").raise_for_status()
            yield client
    except httpx.HTTPStatusError as error:
        do = "check PREFECT_API_URL, PREFECT_API_KEY and PREFECT_API_AUTH_STRING"
        found = f"{url} answers {error.response.status_code} to {error.request.url.path}"
        raise _NoAnswer("problem", found, do) from None
    except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
        do, found = f"{UP}, or check PREFECT_API_URL", f"{url} does not answer: {said(error)}"
        raise _NoAnswer("problem", found, do) from None


def _json(answer: httpx.Response) -> Any:
    return answer.raise_for_status().json()


def _deployments(root: Path) -> list[str]:
    content = load_yaml(root / "prefect.yaml")
    return [str(one["name"]) for one in content["deployments"]]


def ray(site: Site) -> str:
    """The cluster, and whether it has what params ask for."""
    address = site.setting("RAY_ADDRESS")
    if not address:
        do = f"{UP}, or set RAY_ADDRESS; without, each stage starts a cluster of its own"
        raise note("no cluster: the local stack is not running", do)
    host, _, port = address.removeprefix("ray://").rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), ANSWER_S).close()
    except (OSError, ValueError) as error:
        do = f"{UP}, or check RAY_ADDRESS"
        raise problem(f"{address} does not answer: {said(error)}", do) from None
    if address.startswith("ray://"):
        do = "set RAY_ADDRESS to host:6379: training and serving want a driver in the cluster"
        raise warning(f"{address} answers, but is Ray's client port", do)
    asked = _asked(address, site)
    if asked is None:
        do = "see Ray's logs; are RAY_AUTH_MODE, the token and the version here those of there?"
        raise problem(f"{address} takes connections, but says nothing", do)
    return _cluster(address, asked, site.params)


def _asked(address: str, site: Site) -> dict[str, Any] | None:
    settings = {**os.environ, **site.environment, "RAY_ADDRESS": address}
    settings["RAY_AUTH_MODE"] = site.setting("RAY_AUTH_MODE") or "token"
    if path := site.setting("RAY_AUTH_TOKEN_PATH"):
        settings["RAY_AUTH_TOKEN_PATH"] = path
    command = [sys.executable, "-c", ASK_RAY, address]
    try:
        done = subprocess.run(
            command, env=settings, capture_output=True, text=True, timeout=STARTING_S
        )
        return dict(json.loads(done.stdout.strip().splitlines()[-1]))
    except (subprocess.SubprocessError, OSError, ValueError, IndexError):
        return None


def _cluster(address: str, asked: Mapping[str, Any], params: Params | None) -> str:
    nodes, theirs, ours = asked["nodes"], asked["version"], version("ray")
    have = {kind: sum(node.get(kind, 0) for node in nodes) for kind in ("CPU", "GPU")}
    found = f"{address}: {len(nodes)} node(s), {have['CPU']:g} CPUs, {have['GPU']:g} GPUs"
    if theirs and theirs != ours:
        do = "let both be the version of requirements.lock"
        raise problem(f"{found}; it is {theirs}, the client {ours}", do)
    for name, kind, wanted in _requests(params) if params else ():
        if have[kind] < wanted:
            do = f"lower {name} in params.yaml, or add nodes"
            raise problem(f"{found}; {name} want {wanted:g} {kind}s", do)
    return f"{found}, version {theirs or ours}"


def _requests(params: Params) -> Iterator[tuple[str, str, float]]:
    """What must be had at once: the params that ask, the kind, how many."""
    for name, stage in (("noise", params.train.noise), ("residual", params.train.residual)):
        least = stage.min_workers or stage.workers
        yield f"train.{name}.workers x threads", "CPU", least * stage.threads
        yield f"train.{name}.workers x gpus", "GPU", least * stage.gpus
    yield "serve.replicas x gpus", "GPU", params.serve.replicas * params.serve.gpus


def service(site: Site) -> str | None:
    """Whether the champion is served, by the stack or elsewhere; None where neither is there."""
    if elsewhere := site.environment.get("DRDD_SERVICE"):
        if (versions := served(elsewhere)) is None:
            raise problem(f"{elsewhere} is not ready", "see its log, and DRDD_SERVICE")
        return f"{elsewhere} serves {versions}"
    if (state := site.stack) is None:
        return None
    address = f"http://{LOOPBACK}:{state.ports.serve}"
    if state.trusted != trusted_text():
        raise problem(f"{address} was started with another {TRUSTED}", "drdd down, then drdd up")
    found = now(site.root, address)
    if found.state == "idle":
        raise note(f"{found.said}, so {address} serves nothing", "drdd run, or drdd models promote")
    if found.state == "failed":
        log = Supervisor(site.root).log("service")
        raise problem(f"{address} does not start: {found.said}", f"see the end of {log}")
    if found.state == "starting":
        raise warning(f"{address} is not ready yet", f"wait, then {UP}; `drdd status` shows it")
    return f"{address} serves {found.said}"
