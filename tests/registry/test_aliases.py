"""Aliases move one at a time, keep every move, and lead back."""

import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from drdd.errors import TransientError, UserError
from drdd.registry import aliases as module
from drdd.registry.registry import Registry
from drdd.storage.objects import ChangedError, Store
from tests.conftest import ROOT

RACERS, MOVES = 3, 3


def _versions(registry: Registry, count: int) -> list[str]:
    return [registry.publish({"a": str(n).encode()}, {}).id for n in range(count)]


def _history(registry: Registry, name: str = "champion") -> list[str]:
    alias = registry.aliases.get(name)
    assert alias is not None
    assert alias.version == alias.history[-1].version
    return [move.version for move in alias.history]


def test_a_move_says_when_and_why_and_is_kept(registry: Registry) -> None:
    first, second = _versions(registry, 2)
    assert registry.aliases.get("champion") is None
    registry.aliases.move("champion", first, "the first one")
    alias = registry.aliases.move("champion", second)
    assert registry.aliases.get("champion") == alias
    assert [(move.version, move.why) for move in alias.history] == [
        (first, "the first one"),
        (second, ""),
    ]
    assert alias.history[0].moved <= alias.history[1].moved
    assert registry.aliases.all() == {"champion": second}


def test_a_move_to_where_it_points_is_none(registry: Registry) -> None:
    (only,) = _versions(registry, 1)
    registry.aliases.move("champion", only)
    assert registry.aliases.move("champion", only, "again", expected=None).version == only
    assert _history(registry) == [only]


def test_a_move_from_what_was_compared_with_fails_when_someone_else_moved(
    registry: Registry,
) -> None:
    first, second, third = _versions(registry, 3)
    registry.aliases.move("champion", first, expected=None)
    registry.aliases.move("champion", second, expected=first)
    for stale in (first, None):
        with pytest.raises(ChangedError, match=f"moved to {second[:12]} by someone else"):
            registry.aliases.move("champion", third, expected=stale)
    assert _history(registry) == [first, second]


def test_racing_processes_lose_no_move(registry: Registry) -> None:
    """Each moves the alias to versions of its own, all at once."""
    versions = _versions(registry, RACERS * MOVES)
    script = (
        "import sys\n"
        "from drdd.registry.registry import Registry\n"
        "registry = Registry.open(sys.argv[1])\n"
        "print('ready', flush=True)\n"
        "sys.stdin.readline()\n"
        "for version in sys.argv[2:]:\n"
        "    registry.aliases.move('champion', version)\n"
    )
    racers = [
        subprocess.Popen(
            [sys.executable, "-c", script, registry.uri, *versions[racer::RACERS]],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=ROOT,
            text=True,
        )
        for racer in range(RACERS)
    ]
    for racer in racers:
        assert racer.stdout is not None
        assert racer.stdout.readline() == "ready\n"
    for racer in racers:
        assert racer.stdin is not None
        racer.stdin.write("go\n")
        racer.stdin.flush()
    for racer in racers:
        racer.communicate()
    assert [racer.returncode for racer in racers] == [0] * RACERS
    assert sorted(_history(registry)) == sorted(versions)
    assert _history(registry)[-1] == registry.resolve("champion").id


def test_of_racers_that_expect_the_same_one_wins(registry: Registry) -> None:
    """The other sees the winner's move only after its own read, as in a race."""
    first, second, third = _versions(registry, 3)
    registry.aliases.move("champion", first)
    put_if = Store.put_if

    def late(store: Store, name: str, content: bytes, tag: str | None) -> None:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Store, "put_if", put_if)
            registry.aliases.move("champion", second, expected=first)
        put_if(store, name, content, tag)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Store, "put_if", late)
        with pytest.raises(ChangedError, match=f"moved to {second[:12]}"):
            registry.aliases.move("champion", third, expected=first)
    assert _history(registry) == [first, second]


def test_a_write_whose_answer_was_lost_is_known_as_done(s3_registry: Registry) -> None:
    """The client sends it again, and the condition does not hold any more: by its own write."""
    put = Store._put_object

    def twice(self: Store, name: str, content: bytes, tag: str | None) -> bool:
        put(self, name, content, tag)
        return put(self, name, content, tag)

    (only,) = _versions(s3_registry, 1)
    s3_registry.aliases.move("other", only)  # it has asked whether conditions are heeded
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Store, "_put_object", twice)
        s3_registry.aliases.move("champion", only)
    assert _history(s3_registry) == [only]


def test_a_server_that_ignores_conditions_is_refused(s3_registry: Registry) -> None:
    (only,) = _versions(s3_registry, 1)
    put = Store._put_object

    def deaf(self: Store, name: str, content: bytes, tag: str | None) -> bool:
        put(self, name, content, tag)
        return True

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Store, "_put_object", deaf)
        with pytest.raises(UserError, match="ignores If-None-Match or If-Match"):
            s3_registry.aliases.move("champion", only)
    assert s3_registry.aliases.get("champion") is None


def test_conditions_hold_for_each_state_of_an_object(registry: Registry) -> None:
    store = Store(registry.uri)
    assert store.tagged("a/x") is None
    with pytest.raises(ChangedError):
        store.put_if("a/x", b"0", '"00000000000000000000000000000000"')
    store.put_if("a/x", b"1", None)
    with pytest.raises(ChangedError):
        store.put_if("a/x", b"2", None)
    content, tag = store.tagged("a/x") or (b"", "")
    store.put_if("a/x", b"3", tag)
    with pytest.raises(ChangedError):
        store.put_if("a/x", b"4", tag)
    assert (content, store.get("a/x")) == (b"1", b"3")
    assert store.names("") == ["a/x"]


def test_rolling_back_leads_further_back_each_time(registry: Registry) -> None:
    first, second, third = _versions(registry, 3)
    for version in (first, second, third):
        registry.aliases.move("champion", version)
    assert registry.aliases.rollback("champion", "seams").version == second
    assert registry.aliases.rollback("champion").version == first
    assert _history(registry) == [first, second, third, second, first]
    alias = registry.aliases.get("champion")
    assert alias is not None
    assert alias.history[3].why == "seams"
    with pytest.raises(UserError, match=f"never anything before {first[:12]}"):
        registry.aliases.rollback("champion")
    registry.aliases.move("champion", third)
    assert registry.aliases.rollback("champion").version == first  # where it was before


def test_rolling_back_passes_over_what_is_gone(registry: Registry) -> None:
    first, second, third = _versions(registry, 3)
    for version in (first, second, third):
        registry.aliases.move("champion", version)
    registry.store.delete(f"versions/{second}/manifest.json")
    assert registry.aliases.rollback("champion").version == first
    with pytest.raises(UserError, match="no alias 'nobody' to roll back"):
        registry.aliases.rollback("nobody")


@settings(
    max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.lists(st.integers(0, 3) | st.just("back"), min_size=1, max_size=12))
def test_an_alias_and_its_way_back_are_a_stack(tmp_path: Path, steps: list[int | str]) -> None:
    """Against the plain model: a move pushes, a rollback pops."""
    registry = Registry.open(str(tmp_path))
    versions = _versions(registry, 4)
    registry.store.delete("aliases/champion.json")
    stack: list[str] = []
    for step in steps:
        if isinstance(step, int):
            registry.aliases.move("champion", versions[step])
            stack += [versions[step]] if stack[-1:] != [versions[step]] else []
        elif len(stack) > 1:
            stack.pop()
            assert registry.aliases.rollback("champion").version == stack[-1]
        else:
            with pytest.raises(UserError):
                registry.aliases.rollback("champion")
        assert registry.aliases.all() == ({"champion": stack[-1]} if stack else {})


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b"{}", b'{"version": 1}', b'{"version": "a", "history": []}']
)
def test_a_damaged_alias_says_what_to_do_and_harms_no_other(tmp_path: Path, content: bytes) -> None:
    registry = Registry.open(str(tmp_path))
    (only,) = _versions(registry, 1)
    registry.aliases.move("candidate", only)
    registry.store.put("aliases/champion.json", content)
    asks = (
        registry.resolve,
        registry.aliases.rollback,
        lambda name: registry.aliases.move(name, only),
    )
    for ask in asks:
        with pytest.raises(UserError, match=r"champion\.json is damaged; delete this object"):
            ask("champion")
    assert registry.resolve("candidate").id == only


def test_a_race_that_never_ends_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry = Registry.open(str(tmp_path))
    (only,) = _versions(registry, 1)

    def changed(*args: object) -> None:
        raise ChangedError("changed")

    monkeypatch.setattr(module, "LONGEST_WAIT_S", 0)
    monkeypatch.setattr(Store, "put_if", changed)
    with pytest.raises(TransientError, match="too many others"):
        registry.aliases.move("champion", only)
