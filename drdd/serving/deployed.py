"""The application for a config file of Ray Serve: `drdd.serving.deployed:application`.

    applications:
      - {name: drdd, route_prefix: /, import_path: drdd.serving.deployed:application, args: {}}

KubeRay's RayService or `serve deploy` replaces replicas when this file changes. Replicas follow new
versions by themselves.
"""

import os
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field
from ray.serve import Application

from drdd.params import FILE, load
from drdd.serving.app import SERVICE
from drdd.serving.published import FromRegistry
from drdd.serving.replica import Setup, deployment, keys_of

PATIENCE = 100_000


class Arguments(BaseModel):
    model_config = ConfigDict(extra="forbid")

    project: Path | None = Field(
        default=None, description="the folder of params.yaml; DRDD_PROJECT, else the current one"
    )
    overrides: list[str] = Field(default=[], description="of params, such as serve.gpus=1")


def application(args: Arguments) -> Application:
    """The application that `drdd.serving.app.deploy` serves. Raises UserError for invalid params."""
    setup = setup_of(args)
    # Nothing deploys it again, so it keeps trying until a first version is published.
    return deployment(setup.settings).options(max_constructor_retry_count=PATIENCE).bind(setup)


def setup_of(args: Arguments) -> Setup:
    """The setup, without an environment: each node has its own keys or role."""
    root = (args.project or Path(os.environ.get("DRDD_PROJECT") or ".")).absolute()
    params = load(root / FILE, args.overrides)
    keys_of(params.serve, root)
    registry = os.environ.get("DRDD_REGISTRY") or params.publish.registry
    return Setup(SERVICE, params.serve, FromRegistry(registry, root))
