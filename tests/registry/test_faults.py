"""Cut lines, killed publishers, races, dead endpoints: nothing half-published is ever visible."""

import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from pathlib import Path
from threading import Barrier
from typing import Any

import pytest

from drdd.errors import TransientError, UserError
from drdd.registry import pulling
from drdd.registry.manifest import MANIFEST, version_id
from drdd.registry.pulling import check
from drdd.registry.registry import Registry
from drdd.storage.objects import Store
from tests.conftest import ROOT

FILES: dict[str, Path | bytes] = {"config.json": b"{}", "model.safetensors": bytes(100_000)}


OPERATIONS = ("put", "get", "fetch", "sha256", "names", "tagged", "put_if", "_put_object")


class Line:
    """Cuts a store's line at its n-th operation, before or after the store has done it."""

    def __init__(self, patch: pytest.MonkeyPatch, cut_at: int, done_first: bool) -> None:
        self._count, self._cut_at, self._done_first = 0, cut_at, done_first
        self.was_cut = False
        for name in OPERATIONS:
            patch.setattr(Store, name, self._wrapped(getattr(Store, name)))

    def _wrapped(self, operation: Callable[..., Any]) -> Callable[..., Any]:
        def run(*args: Any) -> Any:
            self._count += 1
            self.was_cut = self._count >= self._cut_at
            if self.was_cut and not (self._count == self._cut_at and self._done_first):
                raise TransientError("the line is cut")
            result = operation(*args)
            if self.was_cut:
                raise TransientError("the line is cut")
            return result

        return run


def _publish_and_promote(registry: Registry, files: dict[str, Path | bytes]) -> str:
    version = registry.publish(files, {})
    registry.aliases.move("champion", version.id)
    return version.id


@pytest.mark.parametrize("done_first", [False, True])
def test_a_line_cut_at_any_operation_leaves_nothing_half_published(
    registry: Registry, monkeypatch: pytest.MonkeyPatch, done_first: bool
) -> None:
    champion = _publish_and_promote(registry, FILES)
    for cut_at in count(1):
        files: dict[str, Path | bytes] = {**FILES, "config.json": str(cut_at).encode()}
        with monkeypatch.context() as patch:
            line = Line(patch, cut_at, done_first)
            try:
                _publish_and_promote(registry, files)
            except TransientError:
                assert line.was_cut
        visible = registry.versions()
        assert all(registry.verify(version.id) == [] for version in visible[:2])
        pointed = registry.aliases.get("champion")
        assert pointed is not None
        assert pointed.version in (champion, version_id(visible[0].files))
        assert len(pointed.history) == cut_at + (pointed.version != champion)
        champion = _publish_and_promote(registry, files)
        assert len(registry.versions()) == cut_at + 1
        if not line.was_cut:
            break
    # It looks, writes and reads two files, lists them, writes the manifest, lists and reads; the alias
    # then is preceded and followed by a look at its version.
    assert cut_at >= 13


def test_a_pull_cut_at_any_operation_leaves_nothing(
    registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    version = registry.publish(FILES, {})
    pulls = tmp_path / "pulls"
    for cut_at in count(1):
        with monkeypatch.context() as patch:
            line = Line(patch, cut_at, done_first=True)
            try:
                registry.pull(version.id, pulls / "model")
            except TransientError:
                assert not pulls.exists() or not list(pulls.iterdir())
        if not line.was_cut:
            break
    assert cut_at > len(FILES)
    assert check(pulls / "model", version) == []


def test_a_killed_publisher_leaves_nothing_visible(registry: Registry) -> None:
    """A real process, really killed, when all files but the manifest are written."""
    script = (
        "import sys, time\n"
        "from drdd.registry.registry import Registry\n"
        "from drdd.storage.objects import Store\n"
        "put = Store.put\n"
        "def slow(self, name, content):\n"
        "    print(name, flush=True)\n"
        "    time.sleep(600) if name.endswith('manifest.json') else put(self, name, content)\n"
        "Store.put = slow\n"
        "Registry.open(sys.argv[1]).publish({'a': b'1', 'b': b'2'}, {})\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", script, registry.uri], stdout=subprocess.PIPE, cwd=ROOT, text=True
    )
    assert process.stdout is not None
    wrote = [process.stdout.readline().strip() for _ in range(3)]
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    process.stdout.close()
    assert wrote[2].endswith(MANIFEST)
    assert Store(registry.uri).get(wrote[1]) == b"2"
    assert registry.versions() == []
    version = registry.publish({"a": b"1", "b": b"2"}, {})
    assert registry.verify(version.id) == []


@pytest.mark.slow
@pytest.mark.parametrize("done_first", [False, True])
def test_a_publisher_killed_at_any_operation_leaves_nothing_or_the_whole(
    registry: Registry, done_first: bool
) -> None:
    """Real processes, each killed at its n-th operation, before or after the store has done it."""
    script = (
        "import os, signal, sys\n"
        "from drdd.registry.registry import Registry\n"
        "from drdd.storage.objects import Store\n"
        "kill_at, done_first, done = int(sys.argv[2]), sys.argv[3] == 'True', 0\n"
        "def wrapped(operation):\n"
        "    def run(*args):\n"
        "        global done\n"
        "        done += 1\n"
        "        mine = done == kill_at\n"
        "        result = None if mine and not done_first else operation(*args)\n"
        "        mine and os.kill(os.getpid(), signal.SIGKILL)\n"
        "        return result\n"
        "    return run\n"
        f"for name in {OPERATIONS}:\n"
        "    setattr(Store, name, wrapped(getattr(Store, name)))\n"
        "registry = Registry.open(sys.argv[1])\n"
        "version = registry.publish({'a': sys.argv[2].encode(), 'b': b'2'}, {})\n"
        "registry.aliases.move('champion', version.id)\n"
    )
    for kill_at in count(1):
        arguments = [registry.uri, str(kill_at), str(done_first)]
        before, alias = registry.versions(), registry.aliases.get("champion")
        done = subprocess.run([sys.executable, "-c", script, *arguments], cwd=ROOT)
        now, moved = registry.versions(), registry.aliases.get("champion")
        assert now in (before, [now[0], *before] if now else [])
        assert all(registry.verify(version.id) == [] for version in now[:1])
        if moved != alias:
            assert moved is not None
            assert moved.version == now[0].id
            assert len(moved.history) == (len(alias.history) if alias else 0) + 1
        if done.returncode == 0:
            break
        assert done.returncode == -signal.SIGKILL
    assert kill_at >= 13


def test_wrong_keys_are_refused(s3: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", s3["AWS_ENDPOINT_URL"])
    monkeypatch.setenv("AWS_DEFAULT_REGION", s3["AWS_DEFAULT_REGION"])
    for key, secret in ((s3["AWS_ACCESS_KEY_ID"], "wrong"), ("unknown", "wrong")):
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", key)
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", secret)
        with pytest.raises(UserError, match="refused") as error:
            Registry.open("s3://drdd/models").publish(FILES, {})
        assert "wrong" not in str(error.value)


def test_a_missing_bucket_is_said(s3: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in s3.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(UserError, match="bucket"):
        Registry.open("s3://no-such-bucket/models").resolve("champion")


def test_an_endpoint_that_is_down_may_come_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    with pytest.raises(TransientError, match=r"127\.0\.0\.1:9 does not answer"):
        Registry.open("s3://drdd/models").publish(FILES, {})


@pytest.fixture
def silent(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The endpoint takes connections and never answers."""
    monkeypatch.setattr("drdd.storage.objects.PATIENCE_S", 1)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hush-hush")
    with socket.socket() as endpoint:
        endpoint.bind(("127.0.0.1", 0))
        endpoint.listen()
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{endpoint.getsockname()[1]}")
        yield


@pytest.mark.usefixtures("silent")
def test_an_endpoint_that_never_answers_is_given_up() -> None:
    with pytest.raises(TransientError, match=r"s3://drdd/models at .* does not answer") as error:
        Registry.open("s3://drdd/models")
    assert "hush-hush" not in str(error.value)


@pytest.mark.usefixtures("silent")
@pytest.mark.parametrize(
    "operation",
    [
        lambda store, path: store.put("a", b"1"),
        lambda store, path: store.put("a", path),
        lambda store, path: store.get("a"),
        lambda store, path: store.names("versions"),
    ],
    ids=["put-bytes", "put-file", "get", "names"],
)
@pytest.mark.timeout(60)
def test_an_endpoint_that_falls_silent_later_is_given_up(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, operation: Callable[[Store, Path], None]
) -> None:
    monkeypatch.setattr(Store, "_knock", lambda self: None)
    file = tmp_path / "file"
    file.write_bytes(b"1")
    with pytest.raises(TransientError, match="does not answer"):
        operation(Store("s3://drdd/models"), file)


def test_racing_publishers_of_one_content_agree(registry: Registry) -> None:
    script = (
        "import sys\n"
        "from drdd.registry.registry import Registry\n"
        "files = {str(i): bytes(10000) for i in range(20)}\n"
        "print(Registry.open(sys.argv[1]).publish(files, {}).id)\n"
    )
    command = [sys.executable, "-c", script, registry.uri]
    racers = [
        subprocess.Popen(command, stdout=subprocess.PIPE, cwd=ROOT, text=True) for _ in range(3)
    ]
    ids = {racer.communicate()[0].strip() for racer in racers}
    assert [racer.returncode for racer in racers] == [0, 0, 0]
    assert ids == {version.id for version in registry.versions()}
    assert registry.verify(ids.pop()) == []


def test_racing_pulls_into_one_folder_agree(
    registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both have downloaded before either moves its download into place."""
    version = registry.publish(FILES, {})
    both, move = Barrier(2), pulling._move

    def together(*args: Any) -> None:
        both.wait(timeout=60)
        move(*args)

    monkeypatch.setattr(pulling, "_move", together)
    folder = tmp_path / "pulls" / "model"
    with ThreadPoolExecutor(2) as pool:
        pulled = list(pool.map(lambda _: registry.pull(version.id, folder), range(2)))
    assert pulled == [version, version]
    assert check(folder, version) == []
    assert list(folder.parent.iterdir()) == [folder]


def test_a_store_that_garbles_a_file_publishes_nothing(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    put = Store.put

    def garble(self: Store, name: str, content: Path | bytes) -> None:
        put(self, name, b"garbled" if name.endswith("config.json") else content)

    with monkeypatch.context() as patch:
        patch.setattr(Store, "put", garble)
        with pytest.raises(UserError, match=r"config\.json: the store gave back other bytes"):
            registry.publish(FILES, {})
    assert registry.versions() == []
    assert registry.verify(registry.publish(FILES, {}).id) == []
