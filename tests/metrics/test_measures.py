"""What is measured, what is not and why; distances of sets by their closed forms."""

from pathlib import Path

import numpy as np
import pytest
import torch
from skimage import data
from torch import Tensor, nn
from torchmetrics.image.fid import FrechetInceptionDistance
from torchmetrics.image.kid import KernelInceptionDistance

from drdd.errors import UserError
from drdd.metrics.catalogue import ALEXNET, INCEPTION, METRICS, PictureMetric
from drdd.metrics.fidelity import Pixels, psnr_rgb, psnr_y, ssim_rgb, ssim_y
from drdd.metrics.measures import INPUT, OUTPUT, REFERENCE, Measures, Scores
from drdd.metrics.perception import Perception
from tests.conftest import ROOT
from tests.corpora import scene
from tests.metrics.test_lpips import weights as alexnet_weights  # noqa: F401 - a fixture

OUT_OF_THE_BOX = {
    *("psnr_rgb", "psnr_y", "ssim_rgb", "ssim_y", "ms_ssim", "feature_distance", "niqe"),
}


class Stub(nn.Module):
    """Takes the place of Inception's TorchScript: 48 numbers of a picture, whatever its size."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(48, 12))

    def forward(self, x: Tensor, return_features: bool = False) -> Tensor:
        small = nn.functional.adaptive_avg_pool2d(x / 255, (2, 2)).flatten(1)
        return small.to(self.weight.dtype) @ self.weight.t()


def _pictures(count: int, seed: int = 0) -> list[Pixels]:
    generator = np.random.default_rng(seed)
    return [generator.integers(0, 256, (200, 210, 3), dtype=np.uint8) for _ in range(count)]


def _measured(
    measures: Measures, task: str, degraded: Pixels, output: Pixels, target: Pixels
) -> tuple[Scores, Scores]:
    """The scores of input and output."""
    scores = measures.pictures(task, {INPUT: degraded, OUTPUT: output}, target)
    return scores[INPUT], scores[OUTPUT]


@pytest.fixture(scope="module")
def measures() -> Measures:
    return Measures()


def test_perception_is_judged_out_of_the_box(measures: Measures) -> None:
    target = data.chelsea()[:200, :210]
    noisy = (target + np.random.default_rng(0).normal(0, 30, target.shape)).clip(0, 255)
    before, after = _measured(measures, "noise", noisy.astype(np.uint8), target, target)
    assert set(before) == set(after) == OUT_OF_THE_BOX
    for score in (psnr_rgb, psnr_y, ssim_rgb, ssim_y):
        assert before[score.__name__] == score(noisy.astype(np.uint8), target)
    assert after["feature_distance"] == 0
    assert after["ms_ssim"] == 1
    assert before["feature_distance"] > 0.1
    assert np.isfinite([*before.values(), *after.values()]).all()


def test_what_has_no_weights_is_not_computed_and_never_a_number(
    measures: Measures, tmp_path: Path
) -> None:
    assert set(measures.not_computed) == {"lpips", "fid", "kid"}
    for metric, reason in Measures(weights=tmp_path).not_computed.items():
        file = METRICS[metric].file
        assert reason.startswith(f"{tmp_path} has no {file}")
    assert not {"lpips", "fid", "kid"} & set(measures.protocol)


def test_a_set_that_is_its_targets_is_at_no_distance(measures: Measures) -> None:
    for picture in _pictures(4):
        _measured(measures, "same", 255 - picture, picture, picture)
    found = measures.sets()["same"]
    assert found["output"]["frechet_features"] == pytest.approx(0, abs=1e-3)
    assert found["input"]["frechet_features"] > 1
    _measured(measures, "single", *_pictures(3))
    assert measures.sets()["single"] == {"input": {}, "output": {}}  # one picture is no set


def test_a_reference_is_measured_like_the_output(measures: Measures) -> None:
    for picture in _pictures(3):
        darker = picture // 2
        parts = {INPUT: 255 - picture, REFERENCE: darker, OUTPUT: darker}
        scores = measures.pictures("with reference", parts, picture)
        assert scores[REFERENCE] == scores[OUTPUT] != scores[INPUT]
    found = measures.sets()["with reference"]
    assert found[REFERENCE] == found[OUTPUT]


def test_small_pictures_have_what_they_are_large_enough_for(measures: Measures) -> None:
    small = [picture[:24, :40] for picture in _pictures(3)]
    before, _ = _measured(measures, "small", *small)
    assert np.isfinite(before["psnr_rgb"])
    assert all(np.isnan(before[name]) for name in ("ms_ssim", "feature_distance", "niqe"))


def test_the_border_is_left_out_everywhere(tmp_path: Path) -> None:
    target = data.chelsea()[:220, :230]
    framed = target.copy()
    framed[:5] = framed[:, -5:] = framed[-5:] = framed[:, :5] = 0
    measures = Measures(crop_border=5)
    noisy = target // 2
    before, after = _measured(measures, "frame", noisy, framed, target)
    cropped = [x[5:-5, 5:-5] for x in (noisy, framed, target)]
    assert before == _measured(Measures(), "frame", *cropped)[0]
    assert (after["psnr_rgb"], after["ms_ssim"], after["feature_distance"]) == (100.0, 1.0, 0.0)
    assert measures.protocol["crop_border"] == 5


def test_fid_and_kid_are_torchmetrics_when_the_weights_are_there(
    tmp_path: Path,
    alexnet_weights: Path,  # noqa: F811
) -> None:
    torch.manual_seed(1)
    net = Stub()
    torch.jit.script(net).save(str(tmp_path / INCEPTION))
    (tmp_path / ALEXNET).write_bytes(alexnet_weights.read_bytes())
    measures = Measures(weights=tmp_path)
    assert measures.not_computed == {}
    outputs, targets = _pictures(12), _pictures(12, 1)
    for output, target in zip(outputs, targets, strict=True):
        _, scores = _measured(measures, "any", output, output, target)
        assert scores["lpips"] > 0
    found = measures.sets()["any"]["output"]
    fid = FrechetInceptionDistance(feature=net, normalize=False).set_dtype(torch.float64)
    kid = KernelInceptionDistance(feature=net, subsets=1, subset_size=12)
    for metric in (fid, kid):
        for pictures, real in ((outputs, False), (targets, True)):
            stacked = torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2)
            metric.update(stacked, real=real)
    assert found["fid"] == pytest.approx(float(fid.compute()), rel=1e-3)
    assert found["kid"] == pytest.approx(float(kid.compute()[0]), rel=1e-3)


def test_damaged_weights_are_said(tmp_path: Path) -> None:
    (tmp_path / INCEPTION).write_bytes(b"no TorchScript")
    with pytest.raises(UserError, match=r"inception-2015-12-05\.pt: damaged or no TorchScript"):
        Measures(weights=tmp_path)


def test_a_metric_is_one_entry(monkeypatch: pytest.MonkeyPatch, measures: Measures) -> None:
    """What is registered is measured, with its protocol; nothing else names it."""
    toy = PictureMetric(
        name="brightness",
        label="Brightness",
        digits=1,
        protocol="mean grey level less the target's",
        load=lambda _: lambda picture, target: float(picture.pixels.mean() - target.pixels.mean()),
    )
    monkeypatch.setitem(METRICS, toy.name, toy)
    dark, light, target = (np.full((40, 40, 3), grey, np.uint8) for grey in (90, 110, 100))
    found = Measures()
    before, after = _measured(found, "grey", dark, light, target)
    assert (before["brightness"], after["brightness"]) == (-10.0, 10.0)
    assert found.protocol["brightness"] == toy.protocol
    assert "brightness" not in measures.protocol


def test_every_metric_has_a_row_in_the_docs() -> None:
    """Its name, which way is better, of what it is, and its protocol where it has one of its own."""
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in (ROOT / "docs/evaluation.md").read_text().splitlines()
        if line.startswith("| `")
    ]
    for metric in METRICS.values():
        (row,) = [r for r in rows if f"`{metric.name}`" in r[0] and r[1] in ("higher", "lower")]
        assert row[1] == ("lower" if metric.lower else "higher")
        assert ("a task's pictures" in row[2]) is not isinstance(metric, PictureMetric)
        assert ("needs weights" in row[3]) is bool(metric.file)
        if isinstance(metric.protocol, str):
            assert metric.protocol in row[3]


def test_a_network_that_failed_leaves_nothing_to_the_next_picture() -> None:
    network, picture = Perception(), scene(0, 64, 64)
    expected = network(picture)

    def failing(*_: object) -> None:
        raise RuntimeError("out of memory")

    last = network._net.get_submodule("_conv_head")  # after all that is kept
    hook = last.register_forward_pre_hook(failing)
    with pytest.raises(RuntimeError, match="out of memory"):
        network(picture)
    hook.remove()
    assert len(network(picture).maps) == len(expected.maps)
