"""A corpus is any folder of images; what is no image is passed over, what is missing is said."""

from pathlib import Path

import pytest

from drdd.data.sources import Blob, Unreadable, package_file, read_images
from drdd.errors import TransientError, UserError


def test_images_come_in_order_of_name_from_all_folders_below(tmp_path: Path) -> None:
    for name in ("b.PNG", "sub/a.jpg", "notes.txt", ".hidden.png", "a.webp"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(name.encode())
    blobs = list(read_images(str(tmp_path)))
    assert all(isinstance(blob, Blob) for blob in blobs)
    assert [blob.name for blob in blobs] == ["a.webp", "b.PNG", "sub/a.jpg"]
    assert [blob.content for blob in blobs if isinstance(blob, Blob)][2] == b"sub/a.jpg"


def test_a_missing_and_an_empty_folder_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="does not exist"):
        list(read_images(str(tmp_path / "none")))
    (tmp_path / "readme.txt").write_text("no image here")
    with pytest.raises(UserError, match="holds no image file"):
        list(read_images(str(tmp_path)))


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "good.png").write_bytes(b"x")
    (tmp_path / "gone.png").symlink_to(tmp_path / "nowhere.png")
    found = {item.name: item for item in read_images(str(tmp_path))}
    assert isinstance(found["good.png"], Blob)
    assert "gone.png" not in found or isinstance(found["gone.png"], Unreadable)


def test_a_store_that_is_down_may_come_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "x")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "y")
    with pytest.raises(TransientError, match="does not answer"):
        list(read_images("s3://bucket/prefix"))


def test_bundled_photographs_are_found_or_said_missing() -> None:
    assert package_file("skimage/data/chelsea.png").is_file()
    with pytest.raises(UserError, match="does not bundle"):
        package_file("skimage/data/dog.png")
    with pytest.raises(UserError, match="not installed"):
        package_file("no_such_package/x.png")
