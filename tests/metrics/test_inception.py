"""FID and KID by closed forms; the network's file is read as TorchScript or refused."""

from pathlib import Path

import pytest
import torch

from drdd.errors import UserError
from drdd.metrics.catalogue import INCEPTION as FILE
from drdd.metrics.inception import Inception, fid, kid


def test_the_fid_of_a_shift_is_its_squared_length() -> None:
    a = torch.randn(50, 8, generator=torch.Generator().manual_seed(0))
    assert fid(a, a + 2) == pytest.approx(8 * 2**2, rel=1e-5)
    assert fid(a, a) == pytest.approx(0, abs=1e-5)


def test_kid_is_the_u_statistic_of_its_kernel() -> None:
    a, b = torch.randn(2, 6, 4, generator=torch.Generator().manual_seed(1)).double()

    def kernel(x: torch.Tensor, y: torch.Tensor) -> float:
        return float((x @ y / 4 + 1) ** 3)

    within = sum(kernel(s[i], s[j]) for s in (a, b) for i in range(6) for j in range(6) if i != j)
    between = sum(kernel(x, y) for x in a for y in b)
    assert kid(a, b) == pytest.approx(within / (6 * 5) - 2 * between / 6**2)


def test_a_file_that_is_no_torchscript_is_refused(tmp_path: Path) -> None:
    torch.save({"weight": torch.zeros(2)}, tmp_path / FILE)
    with pytest.raises(UserError, match="damaged or no TorchScript"):
        Inception(tmp_path / FILE)
