"""LPIPS against torchmetrics' own implementation of it, which is given the same AlexNet."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torchmetrics.functional.image import lpips as theirs

from drdd.errors import UserError
from drdd.metrics.catalogue import ALEXNET as FILE
from drdd.metrics.lpips import Lpips, alexnet


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Random weights in torchvision's layout, its classifier included."""
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / FILE
    features = {f"features.{name}": value for name, value in alexnet().state_dict().items()}
    torch.save(features | {"classifier.1.weight": torch.zeros(2, 2)}, path)
    return path


def test_it_is_torchmetrics_with_the_same_network(
    weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours = Lpips(weights)
    monkeypatch.setattr(theirs, "_get_tv_model_features", lambda net, pretrained=False: ours._net)
    net = theirs._LPIPS(pretrained=True, net="alex", eval_mode=True)
    generator = np.random.default_rng(0)
    a, b = (generator.integers(0, 256, (80, 100, 3), dtype=np.uint8) for _ in range(2))
    x, y = (torch.from_numpy(p).permute(2, 0, 1)[None].float() / 127.5 - 1 for p in (a, b))
    with torch.no_grad():
        expected = float(net(x, y))
    assert ours(a, b) == pytest.approx(expected, rel=1e-4)
    assert expected > 0
    assert ours(a, a) == 0


def test_a_file_that_is_not_alexnets_is_refused(tmp_path: Path) -> None:
    torch.save({"features.0.weight": torch.zeros(1)}, tmp_path / FILE)
    with pytest.raises(UserError, match="does not fit"):
        Lpips(tmp_path / FILE)
    torch.save([torch.zeros(1)], tmp_path / FILE)
    with pytest.raises(UserError, match="holds a list"):
        Lpips(tmp_path / FILE)
    (tmp_path / FILE).write_bytes(b"no checkpoint")
    with pytest.raises(UserError, match="damaged"):
        Lpips(tmp_path / FILE)
