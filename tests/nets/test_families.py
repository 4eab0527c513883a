"""Every family of networks is in the list, and what params.yaml may set of it is its own."""

import pytest

from drdd.nets.families import (
    FAMILIES,
    FILES,
    SETTINGS,
    NetworkConfig,
    described,
    network_config,
    network_settings,
)
from drdd.nets.family import family
from tests.conftest import ROOT

SET_IN_PARAMS = {
    "adm": ["family", "channels", "multipliers", "blocks", "attention", "head_channels"],
    "compact": ["family", "channels", "blocks"],
    "rddm": ["family", "dim", "multipliers"],
}


def test_every_file_of_the_folder_that_declares_a_family_is_listed() -> None:
    declaring = {
        path.stem for path in (ROOT / "drdd/nets").glob("*.py") if "\n@family\n" in path.read_text()
    }
    assert {file.__name__.rpartition(".")[2] for file in FILES} == declaring


def test_a_name_is_declared_once() -> None:
    with pytest.raises(ValueError, match="two families of networks called 'adm'"):
        family(FAMILIES["adm"])


@pytest.mark.parametrize("name", FAMILIES)
def test_settings_are_the_fields_with_a_range(name: str) -> None:
    assert list(SETTINGS[name].model_fields) == SET_IN_PARAMS[name]


@pytest.mark.parametrize("name", FAMILIES)
def test_defaults_pass_their_own_ranges_and_are_the_configurations(name: str) -> None:
    settings = network_settings(name)
    assert SETTINGS[name].model_validate(settings.model_dump()) == settings
    config = network_config(in_channels=3, **settings.model_dump())
    assert config == FAMILIES[name](in_channels=3)
    assert settings.factor == config.factor


@pytest.mark.parametrize("name", FAMILIES)
def test_a_described_configuration_is_made_again(name: str) -> None:
    config: NetworkConfig = FAMILIES[name](in_channels=6, out_channels=6).for_restoring()
    assert network_config(**described(config)) == config


def test_the_compact_network_alone_takes_the_context_of_the_degraded_picture() -> None:
    takes = {n: config(in_channels=6).for_restoring().context for n, config in FAMILIES.items()}
    assert takes == {"adm": False, "compact": True, "rddm": False}
    assert not any(config(in_channels=6).context for config in FAMILIES.values())
