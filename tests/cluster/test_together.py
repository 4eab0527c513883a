"""Several processes that learn together, without Ray: gradients are averaged by PyTorch's DDP over gloo."""

import os
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch import nn

from drdd.training.learner import Worker
from drdd.training.loop import train
from infra.local.settings import free_port
from tests.cluster.recorded import Recorded
from tests.training.tiny import residual, settings

pytestmark = pytest.mark.slow
WORLD = 3  # of two, the sum is the same in either order


def _wrapped(net: nn.Module, one_pass: bool) -> nn.Module:
    return nn.parallel.DistributedDataParallel(
        net, static_graph=one_pass, gradient_as_bucket_view=True, bucket_cap_mb=0.01
    )


def _work(rank: int, port: int, folder: str) -> None:
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    dist.init_process_group("gloo", rank=rank, world_size=WORLD)
    worker = Worker(rank, WORLD, wrap=_wrapped, total=dist.all_reduce)
    changes: dict[str, Any] = {"batch": 6, "images": 120}
    for name, more in (("one_pass", {}), ("accumulated", {"micro_batch": 1})):
        of = settings(**changes, **more, checkpoint_every=42)
        callback = Recorded()
        whole = train(residual(), of, worker, callback)
        state, images, _ = callback.states[0]
        assert images == 42
        resumed = train(residual(), of, worker, Recorded(state))
        torch.save((whole.weights, whole.curve), f"{folder}/{name}-whole-{rank}.pt")
        torch.save((resumed.weights, resumed.curve), f"{folder}/{name}-resumed-{rank}.pt")
    dist.destroy_process_group()


def test_workers_that_go_on_end_with_the_same_bytes(tmp_path: Path) -> None:
    """In the middle of a window of the curve; on every worker, each of which saved its own state."""
    mp.spawn(_work, args=(free_port(), str(tmp_path)), nprocs=WORLD)
    alone = train(residual(), settings(batch=6, images=120), Worker()).weights
    for name in ("one_pass", "accumulated"):
        ends = [
            torch.load(tmp_path / f"{name}-{which}-{rank}.pt")
            for which in ("whole", "resumed")
            for rank in range(WORLD)
        ]
        weights, curve = ends[0]
        for other, others in ends:
            assert all(torch.equal(weights[key], other[key]) for key in weights)
            assert others == curve
        ours = torch.cat([weights[key].flatten() for key in alone])
        theirs = torch.cat([value.flatten() for value in alone.values()])
        assert float((ours - theirs).norm() / theirs.norm()) < 1e-3
