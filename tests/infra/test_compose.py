"""The compose files: by the specification's own types, and by what we hold to. No engine runs here."""

import re
import subprocess
from typing import Any

import pytest
import yaml
from compose_spec import PyCompose

from tests.conftest import ROOT
from tests.infra.commands import demand_runnable, flags_of

FOLDER = ROOT / "infra/containers"
FILES = ("compose.yaml", "compose.cuda.yaml")
KEYS = {
    "AWS_ACCESS_KEY_ID": "a",
    "AWS_SECRET_ACCESS_KEY": "b",
    "PREFECT_DATABASE_PASSWORD": "c",
    "PREFECT_API_AUTH_STRING": "d",
    "RAY_AUTH_TOKEN": "d",
}
VARIABLE = re.compile(r"\$\{(\w+)(?::([-?])([^}]*))?\}")
ONCE = {"deploy"}


class MissingError(Exception):
    """A variable that must be set, and what the file says of it."""


def _text(name: str, environment: dict[str, str]) -> str:
    """With variables in it, as the specification says: ${A}, ${A:-default}, ${A:?what is wrong}."""

    def value(match: re.Match[str]) -> str:
        name, kind, rest = match.groups()
        if environment.get(name):
            return environment[name]
        if kind != "-":
            raise MissingError(f"{name} {rest}")
        return str(rest)

    return VARIABLE.sub(value, (FOLDER / name).read_text())


@pytest.fixture(scope="module")
def services() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load(_text("compose.yaml", KEYS))["services"]
    return loaded


@pytest.mark.parametrize("name", FILES)
def test_it_follows_the_specification(name: str) -> None:
    merged = yaml.safe_dump(yaml.safe_load(_text(name, KEYS)))  # `<<` is YAML's, not compose's
    assert PyCompose.from_yaml(merged).service_names()


def test_the_specification_refuses_what_is_misspelt() -> None:
    with pytest.raises(ValueError, match="helthcheck"):
        PyCompose.from_yaml("services: {one: {image: two, helthcheck: {}}}")


@pytest.mark.parametrize("name", KEYS)
def test_without_a_key_it_says_what_to_do(name: str) -> None:
    with pytest.raises(MissingError, match=rf"{name} is missing - copy .*env\.example to \.env"):
        _text("compose.yaml", KEYS | {name: ""})


def test_the_example_names_every_key_and_tells_none() -> None:
    lines = (FOLDER / "env.example").read_text().splitlines()
    assert {line for line in lines if not line.startswith("#")} == {
        f"{name}=" for name in (*KEYS, "DRDD_TRUSTED_KEY", "DRDD_SIGNING_KEY")
    }
    ignored = ["git", "check-ignore", "--quiet", "infra/containers/.env"]
    assert subprocess.run(ignored, cwd=ROOT).returncode == 0


def test_whoever_uses_models_knows_the_trusted_keys() -> None:
    key = "-----BEGIN PUBLIC KEY-----"
    loaded = yaml.safe_load(_text("compose.yaml", {**KEYS, "DRDD_TRUSTED_KEY": key}))["services"]
    for name, one in loaded.items():
        environment = one.get("environment") or {}
        if "DRDD_PROJECT" in environment:
            assert environment["DRDD_TRUSTED_KEY"] == key, name
    assert sum("DRDD_TRUSTED_KEY" in (one.get("environment") or {}) for one in loaded.values()) >= 3


def test_runs_alone_have_the_key_that_signs() -> None:
    loaded = yaml.safe_load(_text("compose.yaml", {**KEYS, "DRDD_SIGNING_KEY": "private"}))
    has = {name for name, one in loaded["services"].items() if "private" in str(one)}
    assert has == {"worker"}


def test_all_ports_are_on_loopback(services: dict[str, Any]) -> None:
    ports = [port for service in services.values() for port in service.get("ports", [])]
    assert len(ports) == 4
    assert all(port.startswith("127.0.0.1:") for port in ports)


def test_every_service_is_watched_restarted_and_limited(services: dict[str, Any]) -> None:
    for name, service in services.items():
        assert service["mem_limit"], name
        assert service["logging"]["options"]["max-size"], name
        assert "no-new-privileges:true" in service["security_opt"], name
        if name not in ONCE:
            assert service["restart"] == "unless-stopped", name
            assert service["healthcheck"]["test"][0] == "CMD", name
        if name != "postgres":
            assert service["cap_drop"] == ["ALL"], name
            assert service["user"] == "1000:1000", name


def test_what_is_waited_for_can_come(services: dict[str, Any]) -> None:
    for service in services.values():
        for other, how in service.get("depends_on", {}).items():
            wanted = "service_completed_successfully" if other in ONCE else "service_healthy"
            assert how == {"condition": wanted}


def test_hosts_that_settings_name_are_services(services: dict[str, Any]) -> None:
    said = yaml.safe_dump(
        [[one.get("environment"), one["command"]] for one in services.values() if "command" in one]
    )
    hosts = set(re.findall(r"(?:http://|@|=|: )([a-z][a-z0-9-]*):\d+", said))
    assert hosts == {"s3", "prefect", "postgres", "ray-head"}


def test_commands_can_be_run(services: dict[str, Any]) -> None:
    for service in services.values():
        if "command" in service:
            demand_runnable(flags_of(service["command"]))
        if "healthcheck" in service:
            demand_runnable(flags_of(service["healthcheck"]["test"][1:]))


def test_volumes_and_overridden_services_exist(services: dict[str, Any]) -> None:
    declared = yaml.safe_load(_text("compose.yaml", KEYS))["volumes"]
    for service in services.values():
        for volume in service.get("volumes", []):
            source = volume.partition(":")[0]
            assert source in declared or (FOLDER / source).resolve() == ROOT, volume
    assert yaml.safe_load(_text("compose.cuda.yaml", {}))["services"].keys() <= services.keys()


def test_the_image_holds_what_is_installed_and_run() -> None:
    listed = (FOLDER / "Dockerfile.dockerignore").read_text().splitlines()
    let_in = {line[1:] for line in listed if line.startswith("!")}
    assert all((ROOT / name).exists() for name in let_in)
    assert {"drdd", "flows", "infra", "params.yaml", "prefect.yaml", "requirements.lock"} <= let_in
    assert listed[1] == "*"
    assert "**/.env" in listed


def test_all_that_uses_ray_has_its_token(services: dict[str, Any]) -> None:
    """A process without it is refused; one that does not need it is not given it."""
    have = {
        name for name, one in services.items() if "RAY_AUTH_TOKEN" in one.get("environment", {})
    }
    assert have == {"ray-head", "ray-worker", "worker"}
    for name in have:
        assert services[name]["environment"]["RAY_AUTH_MODE"] == "token"
