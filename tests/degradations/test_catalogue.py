"""Every degradation is a pure function of its key; chains apply them as params say."""

import inspect
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from drdd.degradations.catalogue import FAMILIES, FUNCTIONS, SCHEMAS
from drdd.degradations.chain import degrade, degrade_batch
from drdd.degradations.registry import degradation
from drdd.diffusion.keyed import keyed_generator
from tests.conftest import ROOT
from tests.degradations import pictures

KINDS = sorted(SCHEMAS)
GREY = np.full((96, 128, 3), 128, dtype=np.uint8)
DARK = {"kind": "low_light", "gain": (0.2, 0.2), "gamma": (1, 1), "sigma": (0, 0)}
FOG = {"kind": "haze", "density": (5, 5), "airlight": (1, 1)}


def _step(kind: str, **changed: Any) -> dict[str, Any]:
    return SCHEMAS[kind].model_validate({"kind": kind, **changed}).model_dump()


def _photo() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (50, 70, 3), dtype=np.uint8)


def test_every_family_of_the_folder_is_in_the_catalogue() -> None:
    declaring = {
        path.stem
        for path in (ROOT / "drdd/degradations").glob("*.py")
        if "\n@degradation(" in path.read_text()
    }
    assert {family.__name__.rpartition(".")[2] for family in FAMILIES} == declaring


def test_a_kind_is_declared_once() -> None:
    with pytest.raises(ValueError, match="two degradations of kind 'grey'"):
        degradation(SCHEMAS["grey"])(FUNCTIONS["grey"])


@pytest.mark.parametrize("kind", KINDS)
def test_a_function_takes_what_its_schema_has(kind: str) -> None:
    parameters = inspect.signature(FUNCTIONS[kind]).parameters.values()
    accepted = {p.name for p in parameters if p.kind is inspect.Parameter.KEYWORD_ONLY}
    assert accepted == set(SCHEMAS[kind].model_fields) - {"kind", "probability"}


@pytest.mark.parametrize("kind", KINDS)
def test_a_kind_alone_is_a_valid_step_whose_defaults_pass_their_own_bounds(kind: str) -> None:
    defaults = _step(kind)
    assert SCHEMAS[kind].model_validate(defaults).model_dump() == defaults


@pytest.mark.parametrize("kind", KINDS)
def test_a_degradation_is_a_function_of_its_key_alone(kind: str) -> None:
    photo, chain = _photo(), [_step(kind)]
    first = degrade(photo, chain, 0, kind, 1)
    torch.manual_seed(99)
    assert np.array_equal(first, degrade(photo, chain, 0, kind, 1))
    other = degrade(photo, chain, 0, kind, 2)
    assert np.array_equal(first, other) == (kind == "grey")  # which draws nothing
    assert first.dtype == np.uint8
    assert first.shape == photo.shape
    assert not np.array_equal(first, photo)


@pytest.mark.parametrize("kind", KINDS)
def test_the_number_of_threads_changes_no_byte(kind: str) -> None:
    photo, chain, threads = np.tile(_photo(), (4, 4, 1)), [_step(kind)], torch.get_num_threads()
    degraded = []
    for number in (1, 3):
        torch.set_num_threads(number)
        degraded.append(degrade(photo, chain, 0, kind))
        assert torch.get_num_threads() == number
    torch.set_num_threads(threads)
    assert np.array_equal(degraded[0], degraded[1])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("size", [(64, 65), (17, 9), (1, 1)])
def test_shape_range_and_type_are_kept_at_any_size(kind: str, size: tuple[int, int]) -> None:
    x = pictures.noise(2, *size)
    x[0, :, 0, 0], x[1, :, 0, 0] = 0, 1
    before = x.clone()
    degraded = degrade_batch(x, [_step(kind)], keyed_generator(kind))
    assert degraded.shape == x.shape
    assert degraded.dtype == torch.float32
    assert bool(torch.isfinite(degraded).all())
    assert 0 <= float(degraded.min()) <= float(degraded.max()) <= 1
    assert torch.equal(x, before)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "grey"])
def test_each_image_of_a_batch_has_draws_of_its_own(kind: str) -> None:
    x = pictures.photograph(64, 80).repeat(3, 1, 1, 1)
    first, second, third = degrade_batch(x, [_step(kind)], keyed_generator(kind))
    assert not torch.equal(first, second)
    assert not torch.equal(second, third)


@pytest.mark.parametrize("kind", KINDS)
def test_a_degradation_computes_in_the_type_it_is_given(kind: str) -> None:
    x = pictures.noise(1, 24, 20).double()
    degraded = degrade_batch(x, [_step(kind)], keyed_generator(kind))
    assert degraded.dtype == torch.float64


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("drawn_on", ["cpu", "cuda"])
def test_a_degradation_works_on_a_gpu_whichever_device_draws(kind: str, drawn_on: str) -> None:
    x = pictures.photograph(64, 65).repeat(2, 1, 1, 1)
    chain = [_step(kind, probability=0.999)]
    rng = keyed_generator(kind, device=drawn_on)
    degraded = degrade_batch(x.cuda(), chain, rng, order="random")
    assert degraded.is_cuda
    assert 0 <= float(degraded.min()) <= float(degraded.max()) <= 1
    if drawn_on == "cpu":
        on_cpu = degrade_batch(x, chain, keyed_generator(kind), order="random")
        assert float((degraded.cpu() - on_cpu).abs().mean()) < 1e-3


def test_degradations_chain_in_order() -> None:
    assert degrade(GREY, [FOG, DARK], 0).mean() < 60 < degrade(GREY, [DARK, FOG], 0).mean()


def test_a_chain_is_its_steps_one_after_the_other_from_one_stream() -> None:
    x, chain = pictures.noise(3, 20, 30), [_step("rain"), _step("jpeg"), _step("gaussian_noise")]
    rng = keyed_generator("chain")
    expected = x
    for step in chain:
        arguments = {k: v for k, v in step.items() if k not in ("kind", "probability")}
        expected = FUNCTIONS[step["kind"]](expected, rng, **arguments)
    assert torch.equal(degrade_batch(x, chain, keyed_generator("chain")), expected)


def test_a_certain_step_draws_nothing_for_its_probability() -> None:
    step = _step("gaussian_noise")
    without = {name: value for name, value in step.items() if name != "probability"}
    assert np.array_equal(degrade(GREY, [step], 0), degrade(GREY, [without], 0))


@settings(max_examples=20, deadline=None)
@given(probability=st.floats(0.05, 0.95), seed=st.integers(0, 1000))
def test_a_step_is_applied_to_its_share_of_images_and_leaves_the_rest(
    probability: float, seed: int
) -> None:
    x = pictures.noise(400, 4, 4) * 0.5 + 0.25
    inverted = {"kind": "box_mask", "area": (1, 1), "fill": (0, 0), "probability": probability}
    degraded = degrade_batch(x, [inverted], keyed_generator(seed))
    kept = (degraded == x).flatten(1).all(1)
    hidden = (degraded == 0).flatten(1).all(1)
    assert bool((kept ^ hidden).all())
    deviation = (probability * (1 - probability) / 400) ** 0.5
    assert abs(float(hidden.float().mean()) - probability) < 5 * deviation


def test_random_order_gives_each_image_an_order_of_its_own() -> None:
    """Fog then dark leaves 0.2 at most, dark then fog about 1."""
    x = pictures.flat(0.5, 8, 8, batch=200)
    degraded = degrade_batch(x, [DARK, FOG], keyed_generator("order"), order="random")
    bright = degraded.flatten(1).mean(1) > 0.5
    assert 0.4 < float(bright.float().mean()) < 0.6
    again = degrade_batch(x, [DARK, FOG], keyed_generator("order"), order="random")
    assert torch.equal(degraded, again)
    assert np.array_equal(
        degrade(GREY, [DARK, FOG], 3, order="random"), degrade(GREY, [DARK, FOG], 3, order="random")
    )
