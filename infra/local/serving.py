"""`python -m infra.local.serving`: serves the published champion on the stack's Ray, and watches over it.

Ray keeps no service when the machine or Ray's head stops. This process of the stack deploys it when it
starts, and again when it no longer answers. Before anything is published it waits; the run that publishes
the first version deploys it.
"""

import json
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import httpx

from drdd.errors import TransientError, UserError
from drdd.files import write_json
from drdd.shown import short
from infra.local.settings import folder

DEPLOY = "deploy"  # the argument with which this module deploys once
EXIT_IDLE = 3  # nothing is published
ANSWER_S = 5.0
LOOK_EVERY_S = 5.0
SILENT_LOOKS = 6  # in a row, after which a service that answered is deployed again
# Between attempts that fail, each twice the one before; and while nothing is published.
WAIT_S, LONGEST_WAIT_S, IDLE_WAIT_S = 10.0, 600.0, 120.0


@dataclass(frozen=True)
class Serving:
    """state: running, starting, idle (nothing is published) or failed; said: its versions, or why not."""

    state: str
    said: str = ""


def now(root: Path, address: str) -> Serving:
    """What the service at `address` says of itself, else what the watching process last noted."""
    if (versions := served(address)) is not None:
        return Serving("running", versions)
    try:
        noted = Serving(**json.loads(_note_path(root).read_text()))
    except (OSError, ValueError, TypeError):
        return Serving("starting")
    return Serving("starting", "does not answer") if noted.state == "running" else noted


def served(address: str) -> str | None:
    """The versions that it serves, such as "champion 0123456789ab"; None when it is not ready."""
    try:
        if httpx.get(f"{address}/v1/ready", timeout=ANSWER_S).status_code != 200:
            return None  # such as 503 while no model is loaded
        answer = httpx.get(f"{address}/v1/models", timeout=ANSWER_S)
        if answer.status_code == 401:
            return "versions are told with an API key only"
        models = answer.raise_for_status().json()["models"]
        return ", ".join(f"{one['alias']} {short(one['version'])}" for one in models)
    except (httpx.HTTPError, ValueError, KeyError, TypeError):
        return None


def forget(root: Path) -> None:
    """Before a new start: what was noted is of an earlier one."""
    _note_path(root).unlink(missing_ok=True)


def watch(root: Path, address: str) -> None:
    """Runs for ever."""
    _note(root, Serving("starting"))
    silent, wait, next_try = SILENT_LOOKS, WAIT_S, 0.0
    while True:
        versions = served(address)
        if versions is not None:
            silent, wait = 0, WAIT_S
            _note(root, Serving("running", versions))
        else:
            silent += 1
        if silent >= SILENT_LOOKS and time.monotonic() >= next_try:
            outcome = _deployed(root)
            _note(root, outcome)
            wait = IDLE_WAIT_S if outcome.state == "idle" else min(2 * wait, LONGEST_WAIT_S)
            next_try = time.monotonic() + wait
        time.sleep(LOOK_EVERY_S)


def _deployed(root: Path) -> Serving:
    """Deploy in a process of its own, because Ray's client and torch stay in memory."""
    command = [sys.executable, "-m", "infra.local.serving", DEPLOY]
    done = subprocess.run(command, cwd=root, stderr=subprocess.PIPE, text=True, errors="replace")
    if done.returncode == 0:
        return Serving("starting", "deployed")
    if done.returncode == EXIT_IDLE:
        return Serving("idle", "nothing is published yet")
    lines = done.stderr.strip().splitlines() or [f"exit status {done.returncode}"]
    print(done.stderr.strip(), flush=True)  # noqa: T201 - the log of the service
    return Serving("failed", lines[-1])


def deploy_published(root: Path) -> bool:
    """Serve what serve.models names, as a run does after it has published; False when nothing is published.

    Raises UserError when a model does not load, TransientError when a server does not answer.
    """
    from drdd.params import BASE, FILE, load
    from drdd.registry.location import is_published

    params = load(root / FILE)
    first, registry = params.serve.models[0], params.publish.registry
    if first != BASE and not is_published(first, registry, root):
        return False
    from drdd.cluster.connection import ray_cluster
    from drdd.serving.app import deploy

    with ray_cluster(cpus=1):
        deploy(params.serve, registry, root)
    return True


def _note(root: Path, serving: Serving) -> None:
    try:
        write_json(_note_path(root), asdict(serving), durable=False)
    except OSError as error:  # such as on a full disk
        print(f"{serving}: not noted: {error}", flush=True)  # noqa: T201


def _note_path(root: Path) -> Path:
    return folder(root) / "serving.json"


def _main(arguments: list[str]) -> int:
    root = Path.cwd()
    if arguments[0] != DEPLOY:
        watch(root, arguments[0])
    try:
        return 0 if deploy_published(root) else EXIT_IDLE
    except (UserError, TransientError) as error:
        print(error, file=sys.stderr)  # noqa: T201
        return 1


if __name__ == "__main__":
    sys.exit(_main(sys.argv[1:]))
