"""Haze by Koschmieder's law; rain and snow by what they cover."""

import pytest
import torch

from drdd.degradations import catalogue, kernels, weather
from drdd.diffusion.keyed import keyed_generator
from tests.degradations.pictures import flat, noise


def test_haze_obeys_koschmieders_law() -> None:
    """Two scenes in one haze: their difference shrinks by the transmission, the rest is airlight."""

    def hazy(value: float) -> torch.Tensor:
        return weather.haze(
            flat(value, 32, 32), keyed_generator("haze"), density=(1.0, 1.0), airlight=(0.9, 0.9)
        )

    black, white = hazy(0.0), hazy(1.0)
    transmission = white - black
    torch.testing.assert_close(black, 0.9 * (1 - transmission))
    depth = -transmission.log()
    assert float(depth.min()) >= 0.35 - 1e-4
    assert float(depth.max()) <= 1.0 + 1e-4
    assert float(depth[..., 0, :].mean()) > float(depth[..., -1, :].mean())  # the top is far away


def test_rain_only_brightens_and_falls_along_its_angle() -> None:
    x = flat(0.2)
    wet = weather.rain(
        x,
        keyed_generator(1),
        density=(0.002, 0.002),  # sparse, so that streaks rarely cross
        length=(21, 21),
        angle=(0, 0),
        strength=(0.8, 0.8),
    )
    assert bool((wet >= x - 1e-6).all())
    assert float((wet > x + 0.05).float().mean()) > 0.02
    streaks = (wet - x)[0, 0]
    along = (streaks[1:] * streaks[:-1]).mean()
    across = (streaks[:, 1:] * streaks[:, :-1]).mean()
    assert float(along) > 2 * float(across)


@pytest.mark.parametrize("kind", ["rain", "snow"])
def test_weather_is_what_drawing_every_drop_and_flake_gives(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same draws, with a direct sum instead of Fourier transforms."""
    x, settings = noise(2, 70, 50), catalogue.SCHEMAS[kind].model_validate({"kind": kind})
    arguments = settings.model_dump(exclude={"kind", "probability"})
    ours = catalogue.FUNCTIONS[kind](x, keyed_generator(kind), **arguments)
    monkeypatch.setattr(kernels, "DIRECT", 10**6)
    direct = catalogue.FUNCTIONS[kind](x, keyed_generator(kind), **arguments)
    torch.testing.assert_close(ours, direct, atol=5e-6, rtol=0)
    assert not torch.equal(direct, x)


def _snow(x: torch.Tensor, density: float, size: float, strength: float = 1.0) -> torch.Tensor:
    return weather.snow(
        x,
        keyed_generator("snow"),
        density=(density, density),
        size=(size, size),
        strength=(strength, strength),
    )


def test_snow_only_brightens_towards_white() -> None:
    x = noise(2)
    snowy = _snow(x, 0.002, 7)
    assert bool((snowy >= x).all())
    assert torch.equal(_snow(x, 0.0, 7), x)
    assert torch.equal(_snow(x, 0.002, 7, strength=0.0), x)
    torch.testing.assert_close(_snow(flat(1.0), 0.002, 7), flat(1.0))


def test_flakes_of_each_layer_cover_their_share() -> None:
    """Discs of random places: the expected log of the clear part is the sum of their areas."""
    density, size = 0.0005, 9.0
    covered = (_snow(flat(0.0, 256, 256, batch=4), density, size) > 1e-4).float().mean()
    widened = [size * scale / 2 + 0.5 for scale in weather.LAYERS]  # with the soft edge
    expected = sum(
        density / scale**2 * 3.1416 * radius**2
        for scale, radius in zip(weather.LAYERS, widened, strict=True)
    )
    assert float(covered) == pytest.approx(1 - 2.71828**-expected, rel=0.12)
