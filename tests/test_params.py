"""The shipped params are valid, and every mistake is refused with the key, the value and a remedy."""

import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from drdd.errors import UserError
from drdd.params import load, overridden, read, validate
from drdd.params.presets import names
from tests.conftest import ROOT, Content


def test_the_projects_own_params_are_valid() -> None:
    params = load(ROOT / "params.yaml")
    assert set(params.tasks) == {"noise", "low_light", "haze", "rain"}
    assert set(params.corpora) == {"nature", "medical", "sky"}


def _unstated(section: BaseModel, content: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    """Keys of the schema that the file leaves to their defaults; not of entries under names."""
    for key in type(section).model_fields:
        value = getattr(section, key)
        if key not in content:
            yield prefix + key
        elif isinstance(value, BaseModel):
            yield from _unstated(value, content[key], f"{prefix}{key}.")


@pytest.mark.parametrize("preset", [None, *names()])
def test_every_setting_of_every_section_is_stated(preset: str | None) -> None:
    """A stage declares values of params.yaml: a default could change what it makes unseen.

    Entries of corpora, paired and tasks may leave settings out. Their defaults are in files that the
    stages which read them declare: drdd/params/data.py, drdd/params/tasks.py, drdd/degradations.
    """
    presets = [preset] if preset else []
    content = read(ROOT / "params.yaml", presets=presets)
    assert list(_unstated(validate(content), content)) == []


def test_params_are_read_without_torch() -> None:
    """All commands read them, and importing torch takes several times as long."""
    code = "import sys; from drdd.params import load; load(); print('torch' in sys.modules)"
    ran = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, text=True, capture_output=True, check=True
    )
    assert ran.stdout == "False\n"


def _set(path: str, value: Any) -> Callable[[Content], None]:
    def change(content: Content) -> None:
        *parents, last = path.split(".")
        here: Any = content
        for part in parents:
            here = here[int(part) if part.isdigit() else part]
        here[last] = value

    return change


def _remove(path: str) -> Callable[[Content], None]:
    def change(content: Content) -> None:
        *parents, last = path.split(".")
        here = content
        for part in parents:
            here = here[part]
        del here[last]

    return change


def _both(*changes: Callable[[Content], None]) -> Callable[[Content], None]:
    def change(content: Content) -> None:
        for one in changes:
            one(content)

    return change


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (_remove("corpora"), ["corpora: missing"]),
        (_remove("train.noise.images"), ["train.noise.images: missing", "training crops"]),
        (_set("train.noise.imags", 3), ["train.noise.imags: unknown key", "'images'", "batch"]),
        (_set("tasks.rain.pars", 0.5), ["tasks.rain.pars: unknown key", "'pairs'"]),
        (_set("train.noise.batch", "16"), ["train.noise.batch = '16'", "valid integer"]),
        (_set("seed", True), ["seed = True", "valid integer"]),
        (_set("diffusion.noise_level", 0.0), ["diffusion.noise_level = 0.0", "greater than 0"]),
        (_set("tasks.rain.pairs", 1.5), ["tasks.rain.pairs = 1.5", "less than or equal to 1"]),
        (_set("train.residual.shares", {"haze": 101}), ["train.residual.shares.haze = 101", "100"]),
        (_set("tasks.rain.min_psnr_gain", float("nan")), ["tasks.rain.min_psnr_gain", "finite"]),
        (
            _set("tasks.rain.min_gain_over_reference", float("inf")),
            ["min_gain_over_reference", "finite"],
        ),
        (_set("train.noise.learning_rate", float("inf")), ["train.noise.learning_rate", "finite"]),
        (
            _set("train.residual.shares", {"hase": 2}),
            ["train.residual.shares: 'hase' is no entry of tasks", "'haze'"],
        ),
        (_set("tasks.rain.corpora", ["natur"]), ["'natur' is no entry of corpora", "'nature'"]),
        (_set("tasks.Rain drops", {}), ["tasks.Rain drops"]),
        (
            _set("tasks.haze.degradation", [{"kind": "hase"}]),
            ["tasks.haze.degradation.0.kind = 'hase'", "gaussian_noise", "'haze'"],
        ),
        (
            _set("tasks.haze.degradation.0.density", [2.0, 1.0]),
            ["tasks.haze.degradation.0.density", "[2.0, 1.0]", "low <= high"],
        ),
        (
            _set("tasks.haze.degradation.0.airlight", [0.5, 1.5]),
            ["tasks.haze.degradation.0.airlight", "0 <= low <= high <= 1"],
        ),
        (_set("train.noise.workers", 3), ["batch 16 does not divide among 3 workers"]),
        (_set("train.noise.crop", 60), ["crop 60 must be a multiple of 8"]),
        (
            _set("train.residual.timestep_sampling", {"first": 0.9, "grid": 0.3, "uniform": 0.1}),
            ["first + grid + uniform must be 1"],
        ),
        (
            _set("train.noise.network", {"family": "admm"}),
            ["train.noise.network.family = 'admm'", "adm, compact, rddm", "'adm'"],
        ),
        (
            _set("train.noise.network", {"channels": [8]}),
            ["train.noise.network.family: missing; one of adm, compact, rddm"],
        ),
        (
            _set("train.noise.network", {"family": "rddm", "dims": 64}),
            ["train.noise.network.dims: unknown key, did you mean 'dim'?", "multipliers"],
        ),
        (
            _set("train.noise.conditioning", "input"),
            ["train.noise: conditioning 'input' learns from pairs", "set data to pairs"],
        ),
        (
            _set("train.noise.data", "pairs"),
            ["train.noise: conditioning 'estimate' learns from unpaired", "set data to unpaired"],
        ),
        (
            _set("train.noise.start", "models/ddpm.pt"),
            ["train.noise.start: 'models/ddpm.pt' is not below pretrained/", "copy it there"],
        ),
        (
            _set("train.residual.start", "pretrained/../mine"),
            ["train.residual.start: 'pretrained/../mine' is not below pretrained/"],
        ),
        (
            _set("method", "coupled"),
            [
                "train.residual.start: 'base' is a model of method 'drdd', but method is 'coupled'; set"
            ],
        ),
        (_set("publish.alias", "base"), ["publish.alias: 'base' is a start of training"]),
        (
            _set("train.noise.network", {"family": "pretrained"}),
            ["train.noise: network.family 'pretrained' needs a checkpoint of", "below pretrained/"],
        ),
        (
            _both(
                _set("train.noise.network", {"family": "pretrained"}),
                _set("train.noise.start", "pretrained/ddpm"),
            ),
            [
                "train.noise: a pretrained start is a VP diffusion, not 'paper': set parameterization to"
            ],
        ),
        (
            _set("train.residual.network", {"family": "pretrained"}),
            ["train.residual: network.family 'pretrained' is for the noise stage alone"],
        ),
        (
            _set("method", "rddm"),
            ["method: unknown", "did you mean 'drdd'", "coupled, ", "regression"],
        ),
        (_set("tasks.rain.scale", 0), ["tasks.rain.scale = 0", "greater than or equal to 1"]),
        (_set("tasks.rain.scale", 2.5), ["tasks.rain.scale = 2.5", "valid integer"]),
        (_set("tasks.rain.scale", "two"), ["tasks.rain.scale = 'two'", "valid integer"]),
        (_set("tasks.rain.scale", True), ["tasks.rain.scale = True", "valid integer"]),
        (_set("tasks.rain.scale", 9), ["tasks.rain.scale = 9", "less than or equal to 8"]),
        (
            _set("tasks.rain.degradation", []),
            ["tasks.rain: needs corpora and degradation (or a scale above 1), or paired"],
        ),
        (
            _set("paired.small", {"input": "i", "target": "t", "scale": 2, "aligned": False}),
            ["paired.small: scale is 2, but aligned is false: other scenes have no common scale"],
        ),
        (
            _both(
                _set("paired.small", {"input": "i", "target": "t", "scale": 2}),
                _set("tasks.small", {"paired": ["small"], "scale": 4}),
            ),
            ["tasks.small.scale is 4, but paired.small.scale is 2; set both"],
        ),
        (
            _both(_set("ingest.min_side", 3), _set("tasks.rain.scale", 4)),
            ["tasks.rain.scale is 4, but ingest.min_side is 3", "raise ingest.min_side"],
        ),
        (_set("train.noise.precision", "fp8"), ["train.noise.precision = 'fp8'", "'bf16'"]),
    ],
)
def test_a_mistake_is_refused(
    content: Content, change: Callable[[Content], None], said: list[str]
) -> None:
    change(content)
    with pytest.raises(UserError) as error:
        validate(content)
    for part in said:
        assert part in str(error.value)


def test_all_mistakes_are_said_at_once(content: Content) -> None:
    _set("seed", -1)(content)
    _set("train.noise.clip", 0)(content)
    _remove("publish.registry")(content)
    with pytest.raises(UserError, match=r"3 error\(s\)") as error:
        validate(content)
    assert all(key in str(error.value) for key in ("seed", "train.noise.clip", "publish.registry"))


def test_overrides_are_applied_and_validated(tmp_path: Path) -> None:
    path = ROOT / "params.yaml"
    assert load(path, ["train.noise.images=320"]).train.noise.images == 320
    assert load(path, ["tasks.rain.pairs=0.05"]).tasks["rain"].pairs == 0.05
    text = overridden(path, ["seed=7"])
    (tmp_path / "params.yaml").write_text(text)
    assert read(tmp_path / "params.yaml") == {**read(path), "seed": 7}
    with pytest.raises(UserError, match=r"train\.noise\.imags: unknown key, did you mean 'images'"):
        load(path, ["train.noise.imags=3"])
    with pytest.raises(UserError, match="key=value"):
        load(path, ["seed"])
    with pytest.raises(UserError, match=r"train\.noise\.images = -3"):
        overridden(path, ["train.noise.images=-3"])


@pytest.mark.parametrize("text", ["a: [1", "- just\n- a list\n", "a: ${missing}"])
def test_a_file_that_is_no_mapping_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "params.yaml"
    path.write_text(text)
    with pytest.raises(UserError, match=str(path)):
        load(path)


def test_a_missing_file_is_said(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="does not exist"):
        load(tmp_path / "params.yaml")
