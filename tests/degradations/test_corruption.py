"""Corrupted copies of clean images: how often, and how strongly, they differ."""

import torch

from drdd.degradations.corruption import CAST, CONTRAST, NOISE, corrupt
from drdd.diffusion.keyed import keyed_generator
from drdd.pictures.tensors import to_tensor
from tests.corpora import scene


def _copies(target: torch.Tensor, count: int) -> torch.Tensor:
    return torch.stack([corrupt(target, keyed_generator("copies", n)) for n in range(count)])


def test_some_copies_are_the_clean_image_and_most_are_not() -> None:
    """All five strengths are 0 in one copy of 32."""
    target = to_tensor(scene(0, 32, 32))
    clean = (_copies(target, 960) == target).all(dim=(1, 2, 3)).float().mean()
    assert 0.5 / 32 < float(clean) < 2 / 32


def test_a_flat_image_has_noise_in_three_copies_of_four() -> None:
    """Neither blur nor gain changes the spread of a flat image, and a cast is smooth."""
    copies = _copies(torch.zeros(3, 32, 32), 480)
    noisy = (copies[..., 1:] - copies[..., :-1]).abs().amax(dim=(1, 2, 3)) > 0.05
    assert 0.6 < float(noisy.float().mean()) < 0.8


def test_no_strength_is_above_its_largest_value() -> None:
    copies = _copies(torch.full((3, 32, 32), 0.5), 480)
    drawn = 5  # standard deviations that a normal draw may be off
    assert copies.sub(0.5).abs().max() < 0.5 * CONTRAST + drawn * (CAST + 2 * NOISE)
