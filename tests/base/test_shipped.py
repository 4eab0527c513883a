"""The base that ships: packed at half the size, verified, and used where nothing is published."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from typer.testing import CliRunner

import drdd
from drdd.base.shipped import HASHES, base_folder
from drdd.checkpoints.folder import CONFIG, WEIGHTS, read_model
from drdd.cli.main import app
from drdd.errors import TransientError, UserError
from drdd.params import Params, validate
from drdd.pictures.files import png
from drdd.registry.location import folder_of
from drdd.registry.registry import Registry
from drdd.serving.published import FromRegistry
from infra.base.pack import pack
from infra.local.settings import Ports, free_port, new_state, save_state
from tests.base.packed import candidate, ship, ship_none
from tests.corpora import scene
from tests.project import tiny_params, write_params

REMEDY = "install drdd again"


def _params(**changes: object) -> Params:
    return validate(tiny_params() | changes)


@pytest.fixture
def base(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A base that drdd takes for its own, and an empty current folder outside of any project."""
    for name in ("DRDD_REGISTRY", "AWS_ACCESS_KEY_ID", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    return ship(tmp_path, _params(), monkeypatch)


def test_a_packed_model_is_the_candidate_up_to_float16(base: Path, tmp_path: Path) -> None:
    made, packed = read_model(tmp_path / "candidate-0"), read_model(base)
    assert packed.networks == made.networks
    assert (packed.sampling, packed.tasks) == (made.sampling, made.tasks)
    assert {value.dtype for value in load_file(base / WEIGHTS).values()} == {torch.float16}
    for part, weights in made.weights.items():
        for name, value in weights.items():
            found = packed.weights[part][name]
            assert found.dtype == torch.float32
            # Half of the last of 11 bits; subnormal below 2^-14.
            assert ((found - value).abs() <= value.abs() * 2**-11 + 2**-25).all()
    size = (tmp_path / "candidate-0" / WEIGHTS).stat().st_size
    assert (base / WEIGHTS).stat().st_size < 0.6 * size


def test_a_packed_model_restores_as_the_candidate(base: Path, tmp_path: Path) -> None:
    picture = scene(0, 40, 56)
    one, other = (
        drdd.Restorer.from_folder(folder).restore(picture).output.astype(int)
        for folder in (tmp_path / "candidate-0", base)
    )
    assert np.abs(one - picture).max() > 1  # it does something
    assert np.abs(one - other).max() <= 1


def test_packing_is_reproducible(base: Path, tmp_path: Path) -> None:
    first = {path.name: path.read_bytes() for path in base.parent.rglob("*") if path.is_file()}
    assert set(first) == {CONFIG, WEIGHTS, HASHES}
    assert pack(tmp_path / "candidate-0", base) == sum(len(first[n]) for n in (CONFIG, WEIGHTS))
    assert first == {p.name: p.read_bytes() for p in base.parent.rglob("*") if p.is_file()}


def test_what_cannot_be_the_base_is_not_packed(tmp_path: Path) -> None:
    target = tmp_path / "base" / "model"
    with pytest.raises(UserError, match="is no model folder"):
        pack(tmp_path / "nowhere", target)
    content = tiny_params() | {"method": "regression"}
    with pytest.raises(UserError, match="of method 'regression', and the base is of 'drdd'"):
        pack(candidate(tmp_path / "other", validate(content)), target)
    from drdd.checkpoints.folder import save_model

    made = read_model(candidate(tmp_path / "large", _params()))
    next(iter(made.weights["noise"].values()))[:] = 1e6
    save_model(tmp_path / "large", made.weights, made.networks, made.sampling, made.tasks)
    with pytest.raises(UserError, match="of the noise network holds values that are not finite"):
        pack(tmp_path / "large", target)
    assert not target.exists()


def test_the_base_has_a_name_anywhere(base: Path) -> None:
    assert base_folder() == folder_of("base") == base
    Path("base").mkdir()
    shutil.copy(base / CONFIG, "base")
    assert folder_of("base") == base
    assert folder_of("./base") == Path("base")
    restored = drdd.Restorer.from_pretrained("base").restore(scene(0, 24, 32))
    assert restored.output.shape == (24, 32, 3)


def test_a_missing_base_is_said(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (base / WEIGHTS).unlink()
    with pytest.raises(UserError, match=rf"is missing \(.*{WEIGHTS} is not there\); {REMEDY}$"):
        base_folder()
    ship_none(tmp_path, monkeypatch)
    with pytest.raises(UserError, match=rf"base that ships with drdd is missing .*; {REMEDY}$"):
        drdd.Restorer.from_pretrained("base")


@pytest.mark.parametrize("name", [CONFIG, WEIGHTS, HASHES])
@pytest.mark.parametrize("content", [b"", b"{}", b"[]", b"\xff"])
def test_a_damaged_base_is_said(base: Path, name: str, content: bytes) -> None:
    path = base.parent / HASHES if name == HASHES else base / name
    path.write_bytes(content)
    with pytest.raises(UserError, match=rf"base that ships with drdd is damaged \(.*\); {REMEDY}$"):
        base_folder()


@pytest.mark.parametrize("name", [CONFIG, WEIGHTS])
def test_every_file_must_have_a_hash(base: Path, name: str) -> None:
    hashes = json.loads((base.parent / HASHES).read_text())
    (base.parent / HASHES).write_text(json.dumps({name: hashes[name]}))
    with pytest.raises(UserError, match=rf"is damaged \(.*does not have its hash\); {REMEDY}$"):
        base_folder()


def test_a_folder_in_place_of_a_file_is_said(base: Path) -> None:
    (base / WEIGHTS).unlink()
    (base / WEIGHTS).mkdir()
    with pytest.raises(UserError, match=rf"base that ships with drdd is damaged \(.*\); {REMEDY}$"):
        base_folder()


def _restore(*arguments: str) -> tuple[str, str]:
    """What `drdd restore` says on stdout and stderr."""
    Path("photo.png").write_bytes(png(scene(0, 24, 32)))
    words = ["restore", "photo.png", "-o", "out.png", *arguments]
    result = CliRunner().invoke(app, words)
    if isinstance(result.exception, Exception):
        raise result.exception
    assert Path("out.png").is_file()
    return result.stdout, result.stderr


SAID = "no model is published yet: the base that ships with drdd is used\n"


def test_restore_works_where_there_is_nothing_but_the_picture(base: Path) -> None:
    stdout, stderr = _restore()
    assert stderr == SAID
    assert stdout == "out.png  32 x 24  by model base\n"
    assert {path.name for path in Path().iterdir()} == {"photo.png", "out.png"}
    stdout, stderr = _restore("--model", "base")  # asked for, so nothing needs to be said
    assert (stderr, "by model base" in stdout) == ("", True)


def test_restore_of_many_works_too(base: Path) -> None:
    Path("in").mkdir()
    Path("in/one.png").write_bytes(png(scene(0, 24, 32)))
    result = CliRunner().invoke(app, ["restore", "in", "-o", "out"])
    assert result.stderr.startswith(SAID)
    assert "1 restored, 0 were there already, by model base" in result.stdout
    assert Path("out/one.png").is_file()


def test_restore_takes_the_champion_once_there_is_one(base: Path, tmp_path: Path) -> None:
    write_params(Path(), tiny_params())
    assert _restore()[1] == SAID  # the registry is empty
    registry = Registry.open("published")
    version = registry.publish({p.name: p for p in (tmp_path / "candidate-0").iterdir()}, {})
    registry.aliases.move("other", version.id)
    assert _restore()[1] == SAID  # it has no champion
    registry.aliases.move("champion", version.id)
    stdout, stderr = _restore()
    assert (stderr, f"by model {version.id[:12]}" in stdout) == ("", True)


def test_a_registry_that_is_named_must_have_the_champion(base: Path) -> None:
    with pytest.raises(UserError, match="no model 'champion'"):
        _restore("--registry", "published")


def test_a_local_stack_that_never_started_has_published_nothing(base: Path) -> None:
    content = tiny_params()
    content["publish"]["registry"] = "s3://drdd/models"
    write_params(Path(), content)
    assert _restore()[1] == SAID


def test_a_store_that_does_not_answer_is_no_reason_to_take_the_base(base: Path) -> None:
    content = tiny_params()
    content["publish"]["registry"] = "s3://drdd/models"
    write_params(Path(), content)
    save_state(Path(), new_state(Ports(s3=free_port()), None))
    with pytest.raises(TransientError, match="`drdd up` starts the local stack"):
        _restore()
    assert not Path("out.png").exists()


def test_a_registry_that_cannot_be_read_is_no_reason_either(
    base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("params.yaml").write_text("sead: 1")
    with pytest.raises(UserError, match="did you mean 'seed'"):
        _restore()


def test_the_service_takes_it_without_a_registry(base: Path) -> None:
    source = FromRegistry("s3://nowhere/models", Path())
    assert source.versions("base") == ["base"]
    assert source.folder("base") == base


@pytest.mark.parametrize("name", ["base", "scratch"])
def test_no_alias_has_the_name_of_a_start(base: Path, tmp_path: Path, name: str) -> None:
    registry = Registry.open("published")
    version = registry.publish({p.name: p for p in (tmp_path / "candidate-0").iterdir()}, {})
    words = ["models", "promote", version.id, "--alias", name, "--registry", "published"]
    result = CliRunner().invoke(app, words)
    assert isinstance(result.exception, UserError)
    assert f"'{name}' is a start of training, so no alias" in str(result.exception)
    assert registry.aliases.all() == {}
