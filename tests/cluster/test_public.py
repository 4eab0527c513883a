"""What this room uses of Ray is public, so that a new version of Ray does not break it silently."""

import ast
from pathlib import Path

import pytest
import ray.train
import ray.train.backend
import ray.train.torch

from drdd.cluster.ray_internals import WRAPPED, cause_of
from drdd.errors import TransientError
from tests.conftest import ROOT

MODULES = sorted((ROOT / "drdd/cluster").glob("*.py"))


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.stem)
def test_no_private_module_of_ray_is_named(path: Path) -> None:
    tree = ast.parse(path.read_text())
    named = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    named |= {a.name for node in ast.walk(tree) if isinstance(node, ast.Import) for a in node.names}
    named |= {ast.unparse(node) for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    private = [name for name in named if name and name.startswith("ray.") and "._" in name]
    assert not private, f"{path.name}: {private} may change in any version of Ray"


def test_what_the_hooks_extend_is_still_there() -> None:
    torch = ray.train.torch.TorchConfig().backend_cls
    assert issubclass(torch, ray.train.backend.Backend), (
        "drdd/cluster/hooks.py calls PyTorch's Backend after a step of its own; Ray Train 2.60 has one"
    )
    steps = {name for name in vars(ray.train.backend.Backend) if name.startswith("on_")}
    assert steps == {"on_start", "on_training_start", "on_shutdown"}, (
        "drdd/cluster/hooks.py passes on these three steps of a Backend, which Ray Train 2.60 has"
    )
    assert torch.share_cuda_visible_devices, (
        "drdd/cluster/hooks.py tells Ray that workers share CUDA_VISIBLE_DEVICES, as PyTorch's did in 2.60"
    )
    assert "get_preemption_info" in vars(ray.train), (
        "drdd/cluster/worker.py asks ray.train.get_preemption_info whether a node is about to go"
    )


def test_a_workers_error_is_still_found_in_its_wrapper() -> None:
    from ray.train.v2._internal.exceptions import UserExceptionWithTraceback

    error = TransientError("away")
    wrapped = UserExceptionWithTraceback(error, "traceback")
    assert cause_of(wrapped) is error, (
        f"drdd/cluster/ray_internals.py reads {WRAPPED}, where Ray Train 2.60 keeps a worker's error"
    )
    assert cause_of(error) is error
