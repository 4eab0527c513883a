"""The ports of the S3 server, as another user of the machine finds them."""

import os
import socket
import ssl
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import httpx
import psutil
import pytest

from drdd.errors import UserError
from drdd.storage.objects import Store
from infra.local import stack
from infra.local.settings import (
    GRPC_OFFSET,
    STORE_PORTS,
    Ports,
    environment,
    folder,
    free_port,
    load_state,
    short_folder,
)
from tests.project import BIN
from tests.strangers import NOBODY, as_nobody, nobody_runs

SHELL_S = 8  # it tries for ever to reach a server that refuses it


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A running store, in a folder to which every user finds the way."""
    root = tmp_path_factory.mktemp("store")
    stack.up(root, Ports(s3=free_port(GRPC_OFFSET)), ("s3",))
    yield root
    stack.down(root)


@pytest.fixture
def store(root: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    """A signed client, and an alias to be deleted."""
    for name, value in environment(root).items():
        monkeypatch.setenv(name, value)
    store = Store("s3://drdd/models")
    store.put("aliases/champion.json", b"the champion")
    return store


def _hidden(root: Path) -> dict[str, int]:
    state = load_state(root)
    assert state is not None
    return state.hidden


def _listening(root: Path) -> set[tuple[str, int]]:
    """Of the server's process, all that it listens at."""
    pid = stack.status(root, ("s3",)).services[0].pid
    assert pid is not None
    found = psutil.Process(pid).net_connections("tcp")
    return {(one.laddr.ip, one.laddr.port) for one in found if one.status == psutil.CONN_LISTEN}


def _shell_says(root: Path, tmp_path: Path, nobody: bool) -> str:
    """What the store's own shell prints, of a user without its certificate, for an attack."""
    ports = _hidden(root)
    command = [str(BIN / "weed"), "-logtostderr", "shell"]
    command += [f"-{part}=127.0.0.1:{ports[part]}" for part in ("master", "filer")]
    attack = "volume.list\ncollection.list\nlock\nfs.rm -r /buckets/drdd/models/aliases\n"
    if nobody:
        return nobody_runs(*command, stdin=attack, timeout=SHELL_S).stdout
    return subprocess.run(
        ["timeout", "--kill-after=1", str(SHELL_S), *command],
        cwd=tmp_path,
        env={"PATH": os.environ["PATH"], "HOME": str(tmp_path)},
        input=attack,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ).stdout


@pytest.mark.gate
@pytest.mark.parametrize(
    "nobody", [pytest.param(True, marks=as_nobody, id="as nobody"), pytest.param(False, id="as us")]
)
def test_the_shell_of_the_store_deletes_nothing_without_its_certificate(
    root: Path, store: Store, tmp_path: Path, nobody: bool
) -> None:
    said = _shell_says(root, tmp_path, nobody)
    assert "DataCenter" not in said, said
    assert "collection:" not in said, said
    assert store.get("aliases/champion.json") == b"the champion"


@pytest.mark.gate
def test_every_inner_port_asks_for_a_certificate_or_a_token(root: Path, store: Store) -> None:
    """All that listens: S3 itself, four gRPC ports above the HTTP ports, and S3's own gRPC port."""
    state = load_state(root)
    assert state is not None
    http = {state.ports.s3, *(state.hidden[part] for part in STORE_PORTS)}
    grpc = {port + GRPC_OFFSET for port in http}
    assert _listening(root) == {("127.0.0.1", port) for port in http | grpc}
    for port in sorted(grpc):
        assert _answer(port, tls=False) == b"", f"{port} speaks to anyone"
        with pytest.raises(ssl.SSLError, match="CERTIFICATE_REQUIRED"):
            _answer(port, tls=True)


def _answer(port: int, tls: bool) -> bytes:
    """What an HTTP/2 server says to a client without a certificate."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_alpn_protocols(["h2"])
    settings = b"\x00\x00\x00\x04\x00\x00\x00\x00\x00"
    with socket.create_connection(("127.0.0.1", port), timeout=10) as plain:
        asked = context.wrap_socket(plain) if tls else plain
        asked.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + settings)
        try:
            return asked.recv(100)
        except ConnectionResetError:
            return b""


@pytest.mark.gate
@pytest.mark.parametrize(
    ("part", "method", "path"),
    [
        ("master", "GET", "/"),
        ("master", "GET", "/dir/assign"),
        ("master", "GET", "/dir/status"),
        ("master", "GET", "/vol/grow?count=1"),
        ("master", "GET", "/vol/vacuum"),
        ("master", "GET", "/col/delete?collection=drdd"),
        ("master", "POST", "/submit"),
        ("volume", "GET", "/"),
        ("volume", "GET", "/ui/index.html"),
        ("volume", "GET", "/stats/disk"),
        ("volume", "GET", "/debug/pprof/"),
        ("volume", "GET", "/1,01"),
        ("volume", "DELETE", "/1,01"),
        ("volume", "POST", "/1,01"),
        ("filer", "GET", "/"),
        ("filer", "GET", "/buckets/drdd/models/aliases/champion.json"),
        ("filer", "PUT", "/buckets/drdd/models/aliases/champion.json"),
        ("filer", "DELETE", "/buckets/drdd?recursive=true"),
        ("filer", "GET", "/debug/pprof/"),
        ("admin", "GET", "/"),
        ("admin", "GET", "/debug/pprof/"),
        ("s3", "GET", "/"),
        ("s3", "GET", "/drdd/models/aliases/champion.json"),
        ("s3", "PUT", "/drdd/models/aliases/champion.json"),
        ("s3", "DELETE", "/drdd/models/aliases/champion.json"),
        ("s3", "POST", "/"),  # the API of users and keys
        ("s3", "GET", "/debug/pprof/"),
    ],
)
def test_no_port_of_the_store_answers_without_a_key(
    root: Path, store: Store, part: str, method: str, path: str
) -> None:
    state = load_state(root)
    assert state is not None
    port = (state.hidden | {"s3": state.ports.s3})[part]
    for scheme in ("http", "https") if part == "master" else ("http",):
        url = f"{scheme}://127.0.0.1:{port}{path}"
        try:
            answer = httpx.request(method, url, content=b"x", verify=False)
        except httpx.TransportError:
            assert part == "master"  # it ends a connection without a certificate
            continue
        assert answer.status_code in (400, 401, 403, 404, 405), answer.text
        assert "the champion" not in answer.text
    assert store.get("aliases/champion.json") == b"the champion"


def test_a_store_leaves_nothing_in_the_temporary_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither logs nor sockets, also if it is killed."""
    with tempfile.TemporaryDirectory(prefix="t", dir="/tmp") as name:
        monkeypatch.setattr(tempfile, "tempdir", name)
        monkeypatch.setenv("TMPDIR", name)
        stack.up(tmp_path, Ports(s3=free_port(GRPC_OFFSET)), ("s3",))
        ports = {port + GRPC_OFFSET for port in _hidden(tmp_path).values()}
        assert any(_sockets(ports))
        assert {path.name for path in Path(name).iterdir()} == {short_folder(tmp_path).name}
        pid = stack.status(tmp_path, ("s3",)).services[0].pid
        psutil.Process(pid).kill()
        stack.down(tmp_path)
        assert list(Path(name).iterdir()) == []
        assert not any(_sockets(ports))


def _sockets(ports: set[int]) -> list[Path]:
    return [one for port in ports for one in Path("/tmp").glob(f"seaweedfs-*-grpc-{port}.sock")]


@as_nobody
@pytest.mark.parametrize("what", ["their folder", "a link", "a folder for all"])
def test_a_folder_that_others_put_in_our_way_is_refused(tmp_path: Path, what: str) -> None:
    path = short_folder(tmp_path)
    if what == "a link":
        path.symlink_to(tmp_path)
    else:
        path.mkdir()
        path.chmod(0o777)
    try:
        if what == "their folder":
            path.chmod(0o755)
            os.chown(path, NOBODY, NOBODY)
        for command in (stack.up, stack.down, stack.status):
            with pytest.raises(UserError, match=f"{path.name} must be private"):
                command(tmp_path)
        assert not (folder(tmp_path) / "state.json").exists()
    finally:
        path.unlink() if path.is_symlink() else path.rmdir()
