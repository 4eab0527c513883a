"""check: what params.yaml names must be there; all that is missing is said at once."""

import json
import os
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from drdd.cli.data import checked
from drdd.errors import UserError
from drdd.params import validate
from drdd.progress import Reporter
from drdd.stages.check import check
from drdd.stages.paths import CORPORA, MEMBERS, PAIRS, REFERENCES, STARTS
from tests.base.packed import ship, ship_none
from tests.project import tiny_params

OK = Path("data/params.ok")


def _check(content: dict[str, Any]) -> None:
    check(validate(content), Reporter("check"))


@pytest.fixture
def there(workspace: Path) -> Path:
    for name in ("in", "out"):
        (workspace / name).mkdir(parents=True)
    for name in ("set.zip", "list.txt", "table.csv"):
        (workspace / name).touch()
    return workspace


def test_what_is_there_or_will_be_made_is_accepted(there: Path) -> None:
    content = tiny_params()  # data/photographs/nature is made by the next stage
    for name in ("in", "set.zip", "list.txt", "s3://bucket/prefix"):
        content["corpora"][f"c{len(content['corpora'])}"] = {"source": name}
    content["paired"] = {"rain": {"input": "in", "target": "out"}}
    content["paired"]["table"] = {"input": "table.csv", "target": "table.csv"}
    _check(content)
    assert OK.read_bytes() == b"params.yaml is valid\n"


@pytest.mark.parametrize("source", ["http://example.org/a", "file:///photos", "gs://bucket/a"])
def test_a_store_that_is_not_read_is_said_as_data_check_says_it(there: Path, source: str) -> None:
    content = tiny_params()
    content["corpora"]["sky"] = {"source": source}
    with pytest.raises(UserError, match=f"corpora.sky.source = '{source}': a source is a folder"):
        _check(content)
    found = {one.key: one.missing for one in checked(validate(content))}
    assert "a source is a folder" in found["corpora.sky"]


def test_a_name_that_dvc_cannot_watch_is_said(there: Path) -> None:
    Path(os.fsdecode(os.fsencode(there) + b"/in/caf\xe9.png")).touch()
    content = tiny_params()
    content["corpora"]["sky"] = {"source": "in"}
    with pytest.raises(
        UserError, match=r"in/caf\\xe9\.png: a name that is no UTF-8.*; rename it, or pack"
    ):
        _check(content)
    found = {one.key: one.missing for one in checked(validate(content))}
    assert "a name that is no UTF-8" in found["corpora.sky"]


def test_the_output_does_not_follow_the_params(there: Path) -> None:
    _check(tiny_params())
    first = OK.read_bytes()
    _check(tiny_params() | {"seed": 5})
    assert OK.read_bytes() == first


def test_all_that_is_missing_is_said_at_once(there: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content = tiny_params()
    content["corpora"]["sky"] = {"source": "nowhere"}
    content["paired"] = {"rain": {"input": "gone.zip", "target": "out"}}
    content["paired"]["fog"] = {"input": "in", "target": "gone.txt"}
    pretrained = {"network": {"family": "pretrained"}, "parameterization": "vp_epsilon"}
    content["train"]["noise"] |= {"start": "pretrained/none", **pretrained}
    content["train"]["residual"]["start"] = "base"
    ship_none(there, monkeypatch)
    with pytest.raises(UserError) as error:
        _check(content)
    lines = [line.strip() for line in str(error.value).splitlines()]
    assert [line.partition(":")[0] for line in lines] == [
        "params.yaml",
        "corpora.sky.source = 'nowhere'",
        "paired.rain.input = 'gone.zip'",
        "paired.fog.target = 'gone.txt'",
        "train.noise.start = 'pretrained/none'",
        "train.residual.start = 'base'",
    ]
    assert "name a folder, an s3:// prefix, an archive" in lines[1]
    assert not OK.exists()


def test_the_starts_are_kept_with_the_hashes_of_what_they_name(
    there: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = tiny_params()
    base = ship(there, validate(content), monkeypatch)
    content["train"]["noise"]["start"] = "base"
    _check(content)
    noise, residual = (
        json.loads((STARTS / f"{s}.json").read_text()) for s in ("noise", "residual")
    )
    assert noise["files"] == {p.name: sha256(p.read_bytes()).hexdigest() for p in base.iterdir()}
    assert residual == {"start": "scratch", "files": None}
    content["method"] = "regression"  # which has no noise stage, so nothing begins from the base
    _check(content)
    assert json.loads((STARTS / "noise.json").read_text()) is None


def test_a_start_of_another_network_is_refused(
    there: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = tiny_params()
    ship(there, validate(content), monkeypatch)
    for stage in ("noise", "residual"):
        content["train"][stage] |= {
            "start": "base",
            "network": {"family": "compact", "channels": [16, 24], "blocks": 2},
        }
    content["train"]["noise"] |= {"conditioning": "estimate", "parameterization": "vp_v"}
    with pytest.raises(UserError) as error:
        _check(content)
    _, noise, residual = str(error.value).splitlines()
    differences = ["channels is (8, 16), expected (16, 24)", "blocks is 1, expected 2"]
    assert noise.strip() == (
        "train.noise.start = 'base': it has another network: noise in_channels is 3, expected 6; "
        + "".join(f"noise {one}; " for one in differences)
        + "parameterization is paper, expected vp_v; make network, conditioning and parameterization "
        "of train.noise equal to it, or set train.noise.start: scratch"
    )
    assert all(f"residual {one}" in residual for one in differences)
    assert not OK.exists()


def test_photographs_that_nothing_makes_are_missing(there: Path) -> None:
    content = tiny_params()
    content["photographs"] = {}
    with pytest.raises(UserError, match=r"corpora\.nature\.source = 'data/photographs/nature'"):
        _check(content)


def test_what_params_no_longer_name_is_removed(there: Path) -> None:
    """Else a model would keep a removed task, and its stages would be called up to date."""
    content = tiny_params()
    made = [CORPORA / "nature", CORPORA / "gone", PAIRS / "haze", PAIRS / "fog"]
    made += [REFERENCES / "haze", REFERENCES / "fog"]
    for folder in made:
        folder.mkdir(parents=True)
        (folder / MEMBERS).touch()
    (PAIRS / "notes").mkdir()  # of no stage
    _check(content)
    assert [folder.exists() for folder in made] == [True, False] * 3
    assert (PAIRS / "notes").exists()


def test_a_refusal_removes_nothing(there: Path) -> None:
    (PAIRS / "fog").mkdir(parents=True)
    (PAIRS / "fog" / MEMBERS).touch()
    content = tiny_params()
    content["corpora"]["sky"] = {"source": "nowhere"}
    with pytest.raises(UserError):
        _check(content)
    assert (PAIRS / "fog").exists()
