"""What holds for a folder holds for a bucket; a lost connection is an error, never a shorter source."""

import gzip
import io
import random
import socket
import tarfile
import threading
import zipfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from drdd.errors import TransientError, UserError
from drdd.sources.entry import Blob, Entry, Fetcher, Rejected, rows
from drdd.sources.listing import entries
from drdd.storage.filesystems import open_filesystem

PICTURES = {f"sub/{n:02}.png": random.Random(n).randbytes(50_000) for n in range(12)}
NEVER = 10**12
MANY = 1005  # a page of a listing has 1000


def _slowly(first: object, *others: object) -> list[Any]:
    """Parameters, all but the first only for the slow tests: each costs seconds of new clients."""
    return [first, *(pytest.param(other, marks=pytest.mark.slow) for other in others)]


class Wire:
    """Forwards connections to the S3 server, and cuts them all once it has carried enough back."""

    def __init__(self, endpoint: str) -> None:
        address = urlsplit(endpoint)
        self._server = (address.hostname, address.port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self.carried = 0
        self.cut_at = NEVER
        threading.Thread(target=self._serve, daemon=True).start()

    def reset(self, cut_at: int = NEVER) -> None:
        self.carried, self.cut_at = 0, cut_at

    def close(self) -> None:
        self._listener.close()

    def _serve(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            server = socket.create_connection(self._server)
            for source, target in ((client, server), (server, client)):
                threading.Thread(
                    target=self._carry, args=(source, target, source is server), daemon=True
                ).start()

    def _carry(self, source: socket.socket, target: socket.socket, back: bool) -> None:
        try:
            while content := source.recv(4096):
                if back:
                    content = content[: max(0, self.cut_at - self.carried)]
                    self.carried += len(content)
                target.sendall(content)
                if self.carried >= self.cut_at:
                    break
        except OSError:
            pass
        finally:
            for end in (source, target):
                with suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)
                end.close()


def _zip() -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for name, picture in PICTURES.items():
            archive.writestr(name, picture)
    return content.getvalue()


def _tar() -> bytes:
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as archive:
        for name, picture in PICTURES.items():
            info = tarfile.TarInfo(name)
            info.size = len(picture)
            archive.addfile(info, io.BytesIO(picture))
    return content.getvalue()


@pytest.fixture(scope="module")
def wire(s3: dict[str, str]) -> Iterator[Wire]:
    wire = Wire(s3["AWS_ENDPOINT_URL"])
    yield wire
    wire.close()


@pytest.fixture(scope="module")
def bucket(s3: dict[str, str], wire: Wire) -> Iterator[str]:
    """Where files are to be put; the environment leads through the wire."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {**s3, "AWS_ENDPOINT_URL": wire.url}.items():
            patch.setenv(name, value)
        store, root = open_filesystem("s3://drdd/sources")
        lines = [f"../plain/{name}" for name in PICTURES]
        files = {f"plain/{name}": content for name, content in PICTURES.items()}
        files |= {"plain/notes.txt": b"", "plain/.x/1.png": b"", "plain2/1.png": b""}
        files |= {f"many/{n:04}.png": b"" for n in range(MANY)}
        files |= {"a.zip": _zip(), "a.tar": _tar(), "a.tar.gz": gzip.compress(_tar())}
        files |= {"lists/a.txt": "\n".join([*lines, "../plain/gone.png"]).encode()}
        files |= {"lists/a.csv": "\n".join(["image", *lines]).encode()}
        store.pipe({f"{root}/{name}": content for name, content in files.items()})
        yield "s3://drdd/sources"


@pytest.fixture(autouse=True)
def _whole(wire: Wire, workspace: Path) -> Iterator[None]:
    wire.reset()
    yield
    wire.reset()


def _fetched(found: list[Entry]) -> list[Blob | Rejected]:
    with Fetcher() as fetcher:
        return [fetcher.fetch(entry) for entry in found]


@pytest.mark.parametrize("kind", ["plain", "a.zip", "a.tar", "a.tar.gz"])
def test_a_bucket_gives_what_a_folder_gives(bucket: str, kind: str) -> None:
    found = entries(f"{bucket}/{kind}").files
    assert _fetched(found) == [Blob(name, content) for name, content in PICTURES.items()]


@pytest.mark.parametrize("kind", _slowly("lists/a.txt", "lists/a.csv"))
def test_lists_and_tables_may_lie_in_a_bucket(bucket: str, kind: str) -> None:
    found = _fetched(entries(f"{bucket}/{kind}").files)
    assert [item.content for item in found if isinstance(item, Blob)] == list(PICTURES.values())
    lost = [item for item in found if isinstance(item, Rejected)]
    assert [item.name for item in lost] == ["../plain/gone.png"] * kind.endswith("txt")
    assert all("does not exist" in item.reason for item in lost)


def test_a_local_list_may_name_files_in_a_bucket(bucket: str, tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_text(f"{bucket}/plain/sub/01.png\ns3://no-such-bucket/1.png\n")
    found = _fetched([entry for (entry,) in rows(str(tmp_path / "list.txt"), ("image",))])
    assert found[0] == Blob(f"{bucket}/plain/sub/01.png", PICTURES["sub/01.png"])
    assert isinstance(found[1], Rejected)


def test_a_listing_has_all_pages(bucket: str) -> None:
    assert [entry.name for entry in entries(f"{bucket}/many").files] == [
        f"{n:04}.png" for n in range(MANY)
    ]


@pytest.mark.parametrize("share", _slowly(0.9, 0.0, 0.1, 0.5, 0.99))
def test_a_listing_that_is_cut_off_is_never_a_shorter_one(
    bucket: str, wire: Wire, share: float
) -> None:
    entries(f"{bucket}/many")
    whole = wire.carried
    wire.reset(cut_at=int(share * whole))
    with pytest.raises(TransientError, match=r"s3://drdd/sources/many at .* does not answer"):
        entries(f"{bucket}/many")
    assert wire.carried >= int(share * whole)


@pytest.mark.parametrize("kind", _slowly("plain", "a.zip", "a.tar", "a.tar.gz"))
@pytest.mark.parametrize("share", _slowly(0.5, 0.01, 0.98))
def test_a_connection_lost_while_reading_may_come_back(
    bucket: str, wire: Wire, kind: str, share: float
) -> None:
    found = entries(f"{bucket}/{kind}").files
    wire.reset()
    _fetched(found)
    whole = wire.carried
    wire.reset(cut_at=int(share * whole))
    with pytest.raises(TransientError, match="does not answer"):
        _fetched(found)
    wire.reset()
    assert _fetched(found) == [Blob(name, content) for name, content in PICTURES.items()]


@pytest.mark.parametrize("kind", _slowly("a.tar.gz", "a.zip", "a.tar", "lists/a.csv"))
def test_an_archive_or_list_lost_while_it_is_listed_may_come_back(
    bucket: str, wire: Wire, kind: str
) -> None:
    wire.reset(cut_at=700)
    with pytest.raises(TransientError, match="does not answer"):
        entries(f"{bucket}/{kind}")


@pytest.mark.parametrize("name", _slowly("none", "none.zip", "none.tar", "none.tgz", "none.csv"))
def test_what_is_not_in_the_bucket_is_said(bucket: str, name: str) -> None:
    with pytest.raises(UserError, match="does not exist"):
        entries(f"{bucket}/{name}")


@pytest.mark.parametrize("name", _slowly("", "/a", "/a.zip", "/a.txt"))
def test_a_missing_bucket_is_said(bucket: str, name: str) -> None:
    with pytest.raises(UserError, match="exist"):
        entries(f"s3://no-such-bucket{name}")


@pytest.mark.parametrize("name", _slowly("plain", "a.zip", "a.tgz", "a.txt"))
def test_wrong_keys_are_refused(bucket: str, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
    with pytest.raises(UserError, match="refused") as error:
        entries(f"{bucket}/{name}")
    assert "wrong" not in str(error.value)


@pytest.mark.parametrize("name", _slowly("prefix", "a.zip", "a.tgz", "a.parquet"))
def test_a_store_that_is_down_may_come_back(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    keys = {"ACCESS_KEY_ID": "x", "SECRET_ACCESS_KEY": "y"}
    for key, value in {"ENDPOINT_URL": "http://127.0.0.1:9", **keys}.items():
        monkeypatch.setenv(f"AWS_{key}", value)
    with pytest.raises(TransientError, match="does not answer"):
        entries(f"s3://bucket/{name}")
