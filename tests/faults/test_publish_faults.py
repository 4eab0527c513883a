"""Publishing and pulling through a disturbed line to a real S3 server: at every request, every fault.

What is visible is whole, failures are said as such, and running again completes.
"""

import uuid
from collections.abc import Callable, Iterator
from hashlib import sha256
from itertools import count
from pathlib import Path

import pytest

from drdd.errors import TransientError
from drdd.registry.manifest import MANIFEST
from drdd.registry.pulling import check
from drdd.registry.registry import Registry
from drdd.storage.objects import Store
from tests.faulty_s3 import Fault, FaultyS3, faulty_s3

FILES: dict[str, Path | bytes] = {"config.json": b"{}", "model.safetensors": bytes(20_000)}
STRIDE = {Fault.STALL: 4}  # a stall costs a client's whole patience
LASTING = pytest.mark.parametrize("once", [True, False], ids=["once", "from-then-on"])


@pytest.fixture
def proxy(s3: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Iterator[FaultyS3]:
    """Before the test session's server; AWS_* of the environment lead to it."""
    monkeypatch.setattr("drdd.storage.filesystems.READ_S", 0.4)
    with faulty_s3(s3["AWS_ENDPOINT_URL"]) as proxy:
        for name, value in (s3 | {"AWS_ENDPOINT_URL": proxy.url}).items():
            monkeypatch.setenv(name, value)
        yield proxy


@pytest.fixture
def direct(s3: dict[str, str], proxy: FaultyS3, monkeypatch: pytest.MonkeyPatch) -> Registry:
    """Around the proxy, at the root of all registries of a test."""
    with monkeypatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL", s3["AWS_ENDPOINT_URL"])
        return Registry.open(f"s3://drdd/faults-{uuid.uuid4().hex}")


def _publish_and_promote(registry: Registry, files: dict[str, Path | bytes]) -> str:
    version = registry.publish(files, {})
    registry.aliases.move("champion", version.id)
    return version.id


@pytest.mark.long
@LASTING
@pytest.mark.parametrize("fault", Fault, ids=lambda fault: fault.name.lower())
def test_a_fault_at_any_request_of_a_publication_tears_nothing(
    proxy: FaultyS3, direct: Registry, fault: Fault, once: bool
) -> None:
    before, old, failures = "", _publish_and_promote(direct, FILES), 0
    disturbed = Registry.open(direct.uri)  # once, which costs half a second
    for tried, at in enumerate(count(1, STRIDE.get(fault, 1)), start=1):
        files: dict[str, Path | bytes] = {**FILES, "config.json": str(at).encode()}
        disturbed.store._heeds = False  # as a process of its own would begin
        proxy.disturb(fault, at, once)
        try:
            _publish_and_promote(disturbed, files)
        except TransientError:
            assert proxy.has_struck
            failures += 1
        undisturbed = not proxy.has_struck
        direct.store.delete(f"versions/{before}/{MANIFEST}")  # to have less to read each time
        _expect_old_or_new(direct, old, tried)
        before, old = old, _publish_and_promote(direct, files)
        assert [version.id for version in direct.versions()] == [old, before]
        assert direct.resolve("champion").id == old
        if undisturbed:
            break
    assert at > 15  # each file is written, looked for and read; then the manifest, then the alias
    # A store asks twice, so that one fault is not worth a failure.
    assert failures == (0 if once or fault is Fault.TRICKLE else tried - 1)


def _expect_old_or_new(direct: Registry, old: str, tried: int) -> None:
    """What the alias points to after the `tried`-th attempt; what that left visible is whole."""
    versions = direct.versions()
    assert len(versions) in (1, 2)
    assert all(direct.verify(version.id) == [] for version in versions)
    alias = direct.aliases.get("champion")
    assert alias is not None
    assert alias.version in (old, versions[0].id)
    assert len(alias.history) == tried + (alias.version != old)


@pytest.mark.long
@LASTING
@pytest.mark.parametrize("fault", Fault, ids=lambda fault: fault.name.lower())
def test_a_fault_at_any_request_of_a_pull_leaves_nothing_or_the_whole(
    proxy: FaultyS3, direct: Registry, tmp_path: Path, fault: Fault, once: bool
) -> None:
    version = direct.publish(FILES, {})
    for at in count(1):
        folder = tmp_path / f"pull-{at}"
        proxy.disturb(fault, at, once)
        try:
            Registry.open(direct.uri).pull(version.id, folder)
        except TransientError:
            assert proxy.has_struck
            assert not folder.exists()
        else:
            assert check(folder, version) == []
        if not proxy.has_struck:
            break
        direct.pull(version.id, folder)
        assert check(folder, version) == []
    assert at > len(FILES)
    assert all(path.name.startswith("pull-") for path in tmp_path.iterdir())


@pytest.mark.parametrize("fault", Fault, ids=lambda fault: fault.name.lower())
def test_one_fault_is_asked_about_again_and_not_worth_a_failure(
    proxy: FaultyS3, direct: Registry, fault: Fault
) -> None:
    """By each kind of request that the store makes."""
    store = Store(direct.uri)
    store.put("a", b"one")
    asked: list[tuple[Callable[[], object], object]] = [
        (lambda: store.put("b", b"two"), None),
        (lambda: store.get("a"), b"one"),
        (lambda: store.sha256("a"), sha256(b"one").hexdigest()),
        (lambda: store.names(""), ["a", "b"]),
        (lambda: (store.tagged("a") or (b"", ""))[0], b"one"),
    ]
    for ask, expected in asked:
        proxy.disturb(fault, 1)
        assert ask() == expected
        assert proxy.has_struck
