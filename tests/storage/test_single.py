"""What certainly cannot be written is refused before work, and nothing is made by asking."""

import os
from pathlib import Path

import pytest

from drdd.errors import UserError
from drdd.storage.single import refuse_unwritable


def test_what_can_be_written_passes_and_nothing_is_made(tmp_path: Path) -> None:
    (tmp_path / "there.png").write_text("mine")
    (tmp_path / "gone.png").symlink_to("nowhere")
    for name in ("there.png", "gone.png", "new.png", "new/deep/a.png", "new/", ""):
        refuse_unwritable(f"{tmp_path}/{name}")
    refuse_unwritable("s3://no-bucket/a.png")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["gone.png", "there.png"]


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("file/a.png", "file is no folder; name another place"),
        ("file/", "file is no folder; name another place"),
        ("a" * 256 + ".png", "File name too long; name another place"),
        ("a\0b.png", "null"),
    ],
)
def test_what_cannot_be_written_is_refused(tmp_path: Path, name: str, said: str) -> None:
    (tmp_path / "file").write_text("mine")
    with pytest.raises(UserError, match=said):
        refuse_unwritable(f"{tmp_path}/{name}")


@pytest.mark.parametrize("protected", ["kept.png", "."])
def test_what_is_protected_is_not_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, protected: str
) -> None:
    kept = tmp_path / "kept.png"
    kept.write_text("mine")
    real = os.access
    place = (tmp_path / protected).resolve()
    monkeypatch.setattr(
        os, "access", lambda path, mode: Path(path).resolve() != place and real(path, mode)
    )
    with pytest.raises(UserError, match=r"access refused .*; check its permissions"):
        refuse_unwritable(str(kept if protected != "." else tmp_path / "new.png"))
