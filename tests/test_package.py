"""The public names; pyproject.toml declares what is imported; a missing module is answered by its extra."""

import ast
import re
import sys
from importlib.metadata import requires

import pytest

import drdd
from drdd.errors import UserError
from drdd.extras import DISTRIBUTIONS, missing
from tests.conftest import ROOT

# Come with what is declared, which is imported beside them.
BROUGHT = {
    "aiohttp": "s3fs",
    "botocore": "s3fs",
    "fsspec": "s3fs",
    "networkx": "dvc",
    "pydantic_core": "pydantic",
    "markupsafe": "jinja2",
    "starlette": "fastapi",
}


def test_every_public_name_is_there_and_no_other() -> None:
    for name in drdd.__all__:
        assert getattr(drdd, name).__name__ == name
    with pytest.raises(AttributeError, match="'nothing'"):
        drdd.nothing  # noqa: B018


@pytest.mark.parametrize(
    ("module", "extra"),
    [
        ("ray.data", "train"),
        ("skimage", "train"),
        ("fastapi", "serve"),
        ("prometheus_client", "serve"),
        ("prefect.client", "pipeline"),
        ("dvc", "pipeline"),
    ],
)
def test_a_missing_module_is_answered_by_its_extra(module: str, extra: str) -> None:
    found = missing(ModuleNotFoundError(name=module))
    assert isinstance(found, UserError)
    assert str(found).endswith(f"is not installed; where drdd is: pip install '.[{extra}]'")


@pytest.mark.parametrize("module", ["nowhere", "torch", "drdd.nothing", None])
def test_another_missing_module_is_an_error_as_it_was(module: str | None) -> None:
    error = ModuleNotFoundError(name=module)
    assert missing(error) is error


def test_everything_imported_is_declared() -> None:
    declared = {re.split(r"[^A-Za-z0-9._-]", one)[0].lower() for one in requires("drdd") or []}
    image = (ROOT / "infra/setup/kubernetes.lock").read_text()  # which only the image installs
    declared |= set(re.findall(r"^([a-z0-9-]+)==", image, re.MULTILINE))
    found = {
        module.partition(".")[0]
        for folder in ("drdd", "flows", "infra")
        for path in (ROOT / folder).rglob("*.py")
        for module in _imported(path.read_text())
    } - {*sys.stdlib_module_names, "drdd", "flows", "infra"}
    named = {BROUGHT.get(module, DISTRIBUTIONS.get(module, module)) for module in found}
    assert {name.replace("_", "-").lower() for name in named} <= declared


def _imported(source: str) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
    return found
