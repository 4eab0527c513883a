"""What all tests share."""

import copy
from pathlib import Path
from typing import Any

import pytest
import torch

from drdd.params import read

ROOT = Path(__file__).resolve().parent.parent
Content = dict[str, Any]


@pytest.fixture(autouse=True, scope="session")
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture
def content() -> Content:
    """The plain content of the project's own params.yaml, free to be changed."""
    return copy.deepcopy(read(ROOT / "params.yaml"))


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty current folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path
