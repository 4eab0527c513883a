"""Deploy the service on Ray Serve and wait until it is ready."""

import logging
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import ray
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from ray import serve
from ray.exceptions import RayError
from ray.serve.config import ControllerOptions, HTTPOptions, ProxyLocation
from ray.serve.exceptions import RayServeException
from ray.serve.handle import DeploymentHandle
from ray.serve.schema import ApplicationStatus

from drdd.errors import TransientError, UserError
from drdd.params import Serve
from drdd.registry.registry import Registry
from drdd.registry.signing import TRUSTED, fingerprint, public_text, trusted_text
from drdd.serving.proxy import environment
from drdd.serving.published import FromFolder, FromRegistry
from drdd.serving.replica import Report, Setup, deployment, keys_of, models_of

SERVICE, CANDIDATE = "drdd", "candidate"
DEFAULT_PORT = 8000
NO_PROJECT = Path("/")  # replicas that know of no project keep models in the user's cache folder
PATIENCE_S = 180.0  # timeout for replicas to load a version
ANSWER_S = 60.0  # timeout for a replica to answer while it loads a version
POLL_S = 0.2
SERVING = (ApplicationStatus.RUNNING, ApplicationStatus.DEPLOYING, ApplicationStatus.UNHEALTHY)


def start_serve() -> None:
    """Start Ray Serve, with HTTP on a shared cluster (RAY_ADDRESS) or if DRDD_SERVE_PORT is set.

    It listens on the loopback of the head, or at DRDD_SERVE_HOST, such as 0.0.0.0 in a container.
    """
    logging.getLogger("ray.serve").setLevel(logging.ERROR)
    port = os.environ.get("DRDD_SERVE_PORT")
    if port or os.environ.get("RAY_ADDRESS"):
        serve.start(
            http_options=HTTPOptions(
                host=os.environ.get("DRDD_SERVE_HOST") or "127.0.0.1",
                port=int(port or DEFAULT_PORT),
            ),
            proxy_location=ProxyLocation.HeadOnly,
            # The controller starts the proxy, which inherits its environment.
            controller_options=ControllerOptions(runtime_env={"env_vars": environment()}),
        )
    else:
        serve.start(proxy_location=ProxyLocation.Disabled)


@contextmanager
def candidate(
    folder: Path, settings: Serve, shared: Callable[[], str]
) -> Iterator[DeploymentHandle]:
    """Serve the model in `folder` for the duration of the block, reachable by handle only.

    shared: returns a folder or s3:// prefix that all nodes reach; called only on a cluster of several
    nodes, since replicas may be on any node. `handle.restore_batch.remote(pictures, options)` restores
    the pictures as one batch. Raises UserError when the model does not load.
    """
    one = settings.model_copy(
        update={"models": [CANDIDATE], "replicas": 1, "max_replicas": None, "api_keys": None}
    )
    models_of(Setup(CANDIDATE, one, FromFolder(folder.absolute()))).start()
    with _reached_by_all(folder, shared) as (source, environment):
        setup = Setup(CANDIDATE, one, source, environment)
        start_serve()
        try:
            yield _run(setup, None)
        finally:
            serve.delete(CANDIDATE)


@contextmanager
def _reached_by_all(
    folder: Path, shared: Callable[[], str]
) -> Iterator[tuple[FromFolder | FromRegistry, dict[str, str]]]:
    """The folder; on several nodes a registry with one version, deleted after the block.

    The version is signed by a key of its own, which its replicas alone trust: DRDD_TRUSTED_KEY is about
    published versions, and others may write where nodes share files. Yields the replicas' environment too.
    """
    if sum(node["Alive"] for node in ray.nodes()) == 1:
        yield FromFolder(folder.absolute()), {}
        return
    key = Ed25519PrivateKey.generate()
    public = key.public_key()
    registry = Registry.open(f"{shared()}/{uuid4().hex}", {fingerprint(public): public})
    version = registry.publish({path.name: path for path in folder.iterdir()}, {}, key)
    registry.aliases.move(CANDIDATE, version.id, "to be evaluated")
    try:
        yield FromRegistry(registry.uri, NO_PROJECT), {TRUSTED: public_text(public)}
    finally:
        for name in registry.store.names(""):
            registry.store.delete(name)


def deploy(settings: Serve, registry: str, root: Path) -> bool:
    """Serve the aliases of serve.models at /, and wait until every replica serves their versions.

    Replicas follow aliases by themselves and are replaced only if settings, keys or code change. Returns
    whether anything changed. Raises UserError when a model does not load, and the previous one keeps
    serving; TransientError when the replicas take too long.
    """
    source = FromRegistry(registry, root.absolute())
    setup = Setup(SERVICE, settings, source, _environment())
    keys_of(settings, source.root)
    wanted = _wanted(setup)
    start_serve()
    if _runs(setup):
        return _followed(wanted)
    validated = models_of(setup)
    validated.start()
    _demand(wanted, {one.alias: one.version for one in validated.served()}, validated.problems())
    _run(setup, "/")
    _followed(wanted)
    return True


def _wanted(setup: Setup) -> dict[str, str]:
    """The version of each alias. Raises UserError when the first alias does not exist."""
    pointed = {alias: setup.source.versions(alias) for alias in setup.settings.models}
    default = setup.settings.models[0]
    if not pointed[default]:
        raise UserError(
            f"serve.models: the registry has no alias {default!r}; publish or promote a version"
        )
    return {alias: versions[0] for alias, versions in pointed.items() if versions}


def _followed(wanted: Mapping[str, str]) -> bool:
    """Wait until all replicas serve `wanted`; False if they did already. Raises as `deploy` does."""
    changed, give_up = False, time.monotonic() + PATIENCE_S
    while True:
        reports = _reports(look=changed)
        for report in reports:
            if changed:  # it has just checked its aliases, so its problem concerns this version
                _demand(wanted, report.versions, report.problems)
        there = [wanted.items() <= report.versions.items() for report in reports]
        if there and all(there):
            return changed
        if time.monotonic() > give_up:
            raise TransientError(f"the replicas do not serve {dict(wanted)} yet: {reports}")
        changed = True
        time.sleep(POLL_S)


def _demand(
    wanted: Mapping[str, str], served: Mapping[str, str], problems: Mapping[str, str]
) -> None:
    """Raises UserError with the first problem of an alias that does not serve its wanted version."""
    for alias, version in wanted.items():
        if served.get(alias) != version and alias in problems:
            raise UserError(f"{alias}: {problems[alias]}")


def _reports(look: bool) -> list[Report]:
    """The reports of all replicas; [] if one does not answer in time."""
    told = serve.get_app_handle(SERVICE).broadcast("report", look)
    try:
        found = told.results(timeout_s=ANSWER_S, return_exceptions=True)
    except (RayError, RayServeException, TimeoutError):
        return []  # replicas are being replaced
    return [one for one in found if isinstance(one, Report)]


def _runs(setup: Setup) -> bool:
    """Whether replicas of exactly this setup serve, even if some are being replaced."""
    there = serve.status().applications.get(SERVICE)
    if there is None or there.status not in SERVING:
        return False
    return any(report.setup == setup.digest for report in _reports(look=False))


def _run(setup: Setup, route: str | None) -> DeploymentHandle:
    """Deploy. Raises UserError with Serve's message when the replicas do not start."""
    application = deployment(setup.settings).bind(setup)
    try:
        return serve.run(application, name=setup.name, route_prefix=route)
    except RuntimeError as error:
        said = serve.status().applications.get(setup.name)
        raise UserError(f"the service does not start: {said.message if said else error}") from None


def _environment() -> dict[str, str]:
    """The environment of the replicas: access to S3, and the text of the trusted keys: no file is there."""
    s3 = {name: value for name, value in os.environ.items() if name.startswith("AWS_")}
    return s3 | ({TRUSTED: text} if (text := trusted_text()) else {})
