"""The losses, against closed forms."""

import math

import pytest
import torch
from torch import Tensor

from drdd.diffusion.keyed import keyed_generator
from drdd.diffusion.losses import FLOOR, LOSSES, SMOOTH
from drdd.methods.method import Batch, Objective

ERROR = torch.randn(3, 3, 8, 8, generator=keyed_generator("error"))


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("squared", lambda e: 0.25 * e**2),
        ("charbonnier", lambda e: math.sqrt(0.25 * e**2 + SMOOTH**2)),
        ("log_squared", lambda e: math.log(0.25 * e**2 + FLOOR)),
    ],
)
def test_an_even_error_has_a_closed_form(name: str, expected: object) -> None:
    for size in (0.0, 1e-3, 0.1, 2.0):
        error = torch.full((2, 3, 4, 4), 0.5 * size)
        error[..., ::2] *= -1
        of = LOSSES[name](error.double())
        assert of.shape == (2,)
        assert of.tolist() == pytest.approx([expected(size)] * 2)  # type: ignore[operator]


def test_the_mean_of_the_logarithm_is_the_mean_psnr() -> None:
    """Up to the floor and a constant: 10 log10(4 / MSE), for images in [-1, 1]."""
    psnr = 10 * torch.log10(4 / ERROR.square().mean(dim=(1, 2, 3)))
    told = 10 / math.log(10) * (math.log(4) - LOSSES["log_squared"](ERROR))
    torch.testing.assert_close(told, psnr, atol=1e-3, rtol=0)


@pytest.mark.parametrize("name", LOSSES)
def test_a_gradient_is_finite_without_an_error(name: str) -> None:
    error = torch.zeros(1, 3, 4, 4, requires_grad=True)
    LOSSES[name](error).sum().backward()
    assert error.grad is not None
    assert not error.grad.any()


@pytest.mark.parametrize("name", LOSSES)
def test_balanced_a_silent_network_is_charged_alike_whatever_the_residual(name: str) -> None:
    """Its error is the residual itself; 0.01 is added to the energies of 4 and 1."""
    target = torch.zeros(2, 3, 8, 8)
    degraded = torch.stack([torch.full((3, 8, 8), 2.0), torch.full((3, 8, 8), 1.0)])
    batch = Batch(target, degraded, torch.zeros(2), target)

    def charged(balance: bool) -> Tensor:
        return Objective(LOSSES[name], balance).of_residual(batch)(target - degraded)

    alike, apart = charged(True), charged(False)
    assert float(alike[0] - alike[1]) == pytest.approx(0, abs=0.01)
    assert float(apart[0] - apart[1]) > 0.5
