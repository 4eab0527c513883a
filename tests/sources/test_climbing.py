"""What a list or a name may reach: a list on S3 its own bucket, a photograph its own package."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from drdd.errors import UserError
from drdd.params import read, validate
from drdd.sources.entry import Blob, Fetcher, Rejected, rows
from drdd.sources.listing import entries
from drdd.sources.lists import located
from drdd.sources.packages import package_file
from drdd.stages.photographs import photographs
from drdd.storage.filesystems import open_filesystem
from tests.conftest import ROOT


@pytest.fixture
def buckets(s3: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Two buckets of a real server with a picture each, and a file of this machine."""
    for name, value in s3.items():
        monkeypatch.setenv(name, value)
    store, _ = open_filesystem("s3://drdd")
    if not store.exists("private"):
        store.mkdir("private")
    store.pipe({"private/x.png": b"private", "drdd/album/x.png": b"mine"})
    local = tmp_path / "x.png"
    local.write_bytes(b"local")
    yield local
    store.rm("private/x.png")


@pytest.mark.slow
@pytest.mark.gate
@pytest.mark.parametrize("kind", ["txt", "csv"])
def test_a_list_on_s3_names_its_own_bucket_alone(buckets: Path, kind: str) -> None:
    good = ["../album/x.png", "s3://drdd/album/x.png"]
    bad = [
        *(str(buckets), "/etc/hostname", "../../private/x.png", "../../../etc/hostname"),
        *("s3://private/x.png", "s3://drdd/../private/x.png", "file:///etc/hostname"),
        *(f"../../../../../../../{buckets}", f"s3://{buckets}"),
    ]
    store, _ = open_filesystem("s3://drdd")
    store.pipe(
        "drdd/lists/all." + kind, "\n".join([*["image"] * (kind == "csv"), *good, *bad]).encode()
    )
    with Fetcher() as fetcher:
        found = [
            fetcher.fetch(entry) for (entry,) in rows(f"s3://drdd/lists/all.{kind}", ("image",))
        ]
    assert [one.content for one in found if isinstance(one, Blob)] == [b"mine", b"mine"]
    refused = [one.reason for one in found if isinstance(one, Rejected)]
    assert len(refused) == len(bad)
    assert all("a list" in reason or "'..'" in reason for reason in refused)


@pytest.mark.slow
@pytest.mark.gate
def test_a_local_list_names_what_its_writer_may_read(buckets: Path) -> None:
    path = buckets.with_name("all.txt")
    path.write_text(f"x.png\n{buckets}\ns3://private/x.png\ns3://drdd/../private/x.png\n")
    with Fetcher() as fetcher:
        found = [fetcher.fetch(entry) for entry in entries(str(path)).files]
    assert [one.content for one in found if isinstance(one, Blob)] == [
        b"local",
        b"local",
        b"private",
    ]
    assert isinstance(found[-1], Rejected)


@pytest.mark.parametrize(
    "cell",
    ["/b/x", "../x", "../../b/x", "..", "a/../../../x", "s3://c/x", "s3://b/../c/x", "s3://"],
)
def test_what_leaves_the_bucket_is_refused_before_any_request(cell: str) -> None:
    _, _, refusal = located(cell, "s3://b/list.txt")
    assert refusal
    assert "'" in refusal or "s3" in refusal.lower()


@pytest.mark.parametrize(
    "name",
    [
        "skimage/../../secret.png",
        "skimage/data/../../../secret.png",
        "skimage//etc/hostname",
        "../secret.png",
        "/etc/hostname",
        "",
        "runs_when_imported.x/y.png",
    ],
)
def test_a_photograph_is_in_its_package(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A dotted name would import, and so run, the package before the dot."""
    (tmp_path / "runs_when_imported").mkdir()
    (tmp_path / "runs_when_imported/__init__.py").write_text(
        f"open({str(tmp_path / 'ran')!r}, 'w')"
    )
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(UserError, match="is not a file in a package"):
        package_file(name)
    assert not (tmp_path / "ran").exists()


def test_two_photographs_of_one_name_are_refused(workspace: Path) -> None:
    content = read(ROOT / "params.yaml")
    content["photographs"]["nature"] = ["skimage/data/chelsea.png", "sklearn/data/chelsea.png"]
    with pytest.raises(UserError, match=r"photographs\.nature: more than one file .* chelsea\.png"):
        photographs(validate(content), None)  # type: ignore[arg-type]
