"""DVC reads pickles from a folder of its own: `make setup` puts it where no other user writes."""

import stat
from pathlib import Path

import pytest
from dvc.config import Config

from infra.doctor.finding import NotOk, Site
from infra.doctor.project import dvc
from tests.conftest import ROOT


def test_no_other_user_writes_where_dvc_reads_pickles() -> None:
    place = Path(Config(str(ROOT / ".dvc"), validate=False)["core"]["site_cache_dir"])
    assert place.is_absolute()
    assert stat.S_IMODE(place.lstat().st_mode) == 0o700
    assert place.lstat().st_uid == ROOT.stat().st_uid


def test_doctor_warns_of_a_place_of_all_users(tmp_path: Path) -> None:
    (tmp_path / ".dvc").mkdir()
    with pytest.raises(NotOk, match="pickled"):
        dvc(Site(tmp_path, {}))
    (tmp_path / ".dvc/config.local").write_text("[core]\n    site_cache_dir = /somewhere\n")
    assert "1 section" in dvc(Site(tmp_path, {}))
