"""Sentences as a person reads them; a missed bound never looks met."""

from hypothesis import given
from hypothesis import strategies as st

from drdd.gates import max_drop_vs_champion, max_latency_p95, min_psnr_gain


@given(st.integers(-400_000, 400_000), st.integers(0, 400_000))
def test_a_gain_looks_as_large_as_needed_only_where_it_is(gain: int, least: int) -> None:
    """In steps of 1e-4 dB, as metrics.json has them."""
    words = min_psnr_gain.in_words("rain", gain / 1e4, least / 1e4).split()
    assert (float(words[2]) >= float(words[6])) is (gain >= least)


@given(st.integers(-400_000, 400_000), st.integers(0, 400_000))
def test_a_drop_looks_allowed_only_where_it_is(drop: int, allowance: int) -> None:
    said = max_drop_vs_champion.in_words("rain", drop / 1e4, "1a2b", allowance / 1e4)
    allowed = float(said.split("allowance ")[1].rstrip(")"))
    shown = float(said.split(" fell ")[1].split()[0]) if " fell " in said else 0.0
    assert (shown <= allowed) is (drop <= allowance)


def test_latency_is_said_without_its_number() -> None:
    assert max_latency_p95.in_words(True, 2.0) == "95 % of the pictures were restored within 2 s"
    assert (
        max_latency_p95.in_words(False, 0.5)
        == "95 % of the pictures were not restored within 0.5 s"
    )
