"""What a check finds, and how checks are run: all at once, none waited for longer than its time."""

import os
import re
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Literal

from drdd.errors import UserError
from drdd.params import FILE, Params, load
from drdd.registry.location import is_local_stack
from infra.local.settings import StackState, environment, load_state
from infra.local.supervisor import Supervisor

PATIENCE_S = 15.0  # for the slowest check; all of them run at the same time
ANSWER_S = 4.0  # for one answer of a service
StateWord = Literal["ok", "note", "warning", "problem"]
_SECRET = re.compile(r"SECRET|TOKEN|PASSWORD|API_KEY|ACCESS_KEY|AUTH_STRING")
_LOGIN = re.compile(r"://[^/@\s]+@")


@dataclass(frozen=True)
class Finding:
    """note: nothing is wrong, but something is not there. do: for all that is not ok, what to do."""

    check: str
    state: StateWord
    found: str
    do: str = ""


@dataclass(eq=False)
class NotOk(Exception):  # noqa: N818
    """A check's finding that is not ok; see Finding."""

    state: StateWord
    found: str
    do: str


note, warning, problem = (partial(NotOk, state) for state in ("note", "warning", "problem"))


@dataclass(frozen=True)
class Site:
    """A project's folder, and the environment in which its commands would run."""

    root: Path
    environment: Mapping[str, str]

    @property
    def stack(self) -> StackState | None:
        """What is known of the local stack if it is up."""
        running = Supervisor(self.root).processes() is not None
        return load_state(self.root) if running else None

    @property
    def params(self) -> Params | None:
        """None when they are not valid, which a check of its own says."""
        try:
            return load(self.root / FILE)
        except UserError:
            return None

    @property
    def bucket_settings(self) -> Mapping[str, str] | None:
        """With which a bucket is reached; None when it is the local stack's, and that is not up."""
        if not is_local_stack("s3://", self.environment):
            return self.environment
        return environment(self.root) if self.stack else None

    def setting(self, name: str) -> str | None:
        """Of the environment, else of the local stack if that is up."""
        if given := self.environment.get(name):
            return given
        return environment(self.root).get(name) if self.stack else None


Check = Callable[[Site], str | None]
"""Returns what it found in order, None when there is nothing to tell. Raises NotOk otherwise."""


def examine(
    site: Site, checks: Mapping[str, Check], patience_s: float = PATIENCE_S
) -> list[Finding]:
    """What the checks find, in their order. One that hangs or breaks is a finding as well."""
    found: dict[str, Finding | None] = {
        name: Finding(
            name,
            "problem",
            f"no answer in {patience_s:.0f} s",
            f"see what {name} waits for: a dead address, a slow disk, a loaded machine",
        )
        for name in checks
    }

    def run(name: str, check: Check) -> None:
        found[name] = _finding(name, check, site)

    threads = [threading.Thread(target=run, args=one, daemon=True) for one in checks.items()]
    for thread in threads:
        thread.start()
    give_up = time.monotonic() + patience_s
    for thread in threads:
        thread.join(max(0.0, give_up - time.monotonic()))
    return _without_secrets(site, [one for one in list(found.values()) if one])


def _finding(name: str, check: Check, site: Site) -> Finding | None:
    try:
        said_ok = check(site)
    except NotOk as wrong:
        return Finding(name, wrong.state, wrong.found, wrong.do)
    except Exception as error:
        do = f"report this; {name} itself may be well"
        return Finding(name, "warning", f"not examined ({said(error)})", do)
    return None if said_ok is None else Finding(name, "ok", said_ok)


def worst(findings: Sequence[Finding]) -> StateWord:
    order: tuple[StateWord, ...] = ("problem", "warning", "note", "ok")
    return next((state for state in order if state in {one.state for one in findings}), "ok")


def said(error: BaseException) -> str:
    """An error in one line."""
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _without_secrets(site: Site, findings: list[Finding]) -> list[Finding]:
    settings = {**os.environ, **site.environment}
    if (state := load_state(site.root)) is not None:
        settings |= {"STACK_ACCESS_KEY": state.access_key, "STACK_SECRET": state.secret_key}
        settings["STACK_PREFECT_SECRET"] = state.prefect_auth
    secrets = [v for name, v in settings.items() if _SECRET.search(name.upper()) and len(v) > 3]

    def hidden(text: str) -> str:
        for secret in sorted(secrets, key=len, reverse=True):
            text = text.replace(secret, "***")
        return _LOGIN.sub("://***@", text)

    return [replace(one, found=hidden(one.found), do=hidden(one.do)) for one in findings]
