"""Projects whose pipeline has been run once, shared by the tests of a module."""

from pathlib import Path

import pytest

from tests.project import make_project, must


@pytest.fixture(scope="package")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project after `dvc repro` with nothing started by hand."""
    root = make_project(tmp_path_factory.mktemp("finished"))
    must(root, "dvc", "repro")
    return root
