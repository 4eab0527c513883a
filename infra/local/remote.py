"""DVC's remote while the stack is up: its endpoint and keys, in DVC's local settings.

So `dvc push` in this folder works from any shell. DVC keeps .dvc/config.local out of git.
"""

import os
from pathlib import Path

from configobj import ConfigObj, ConfigObjError

from drdd.errors import UserError
from drdd.files import atomic_path
from drdd.text import read_text
from infra.local.settings import BUCKET, LOOPBACK, StackState

CONFIG, LOCAL = Path(".dvc/config"), Path(".dvc/config.local")
LENT = ("endpointurl", "access_key_id", "secret_access_key")
# Any of these in DVC's settings: the user has chosen how to reach the remote.
CHOSEN = {*LENT, "session_token", "profile", "credentialpath", "configpath"}
VARIABLES = ("AWS_ACCESS_KEY_ID", "AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_PROFILE")


def lend(root: Path, state: StackState) -> None:
    """Write the stack's endpoint and keys, unless the remote is elsewhere or the user has his own."""
    local = _without_lent(root, state)
    settings = [_read(root / CONFIG), local]
    name = _last(settings, "core", "remote")
    section = f'remote "{name}"'
    in_bucket = f"{_last(settings, section, 'url')}/".startswith(f"s3://{BUCKET}/")
    chosen = any(CHOSEN & set(one.get(section, {})) for one in settings)
    if in_bucket and not chosen and not _elsewhere(state):
        values = (_endpoint(state), state.access_key, state.secret_key)
        local.setdefault(section, {}).update(dict(zip(LENT, values, strict=True)))
    _write(root / LOCAL, local)


def take_back(root: Path, state: StackState) -> None:
    """Remove what `lend` wrote, and nothing else."""
    _write(root / LOCAL, _without_lent(root, state))


def _without_lent(root: Path, state: StackState) -> ConfigObj:
    """The local settings as the user has them: the keys of the stack, which last, tell what was lent."""
    local = _read(root / LOCAL)
    for name in local.sections[:]:
        if local[name].get("access_key_id") == state.access_key:
            for key in LENT:
                local[name].pop(key, None)
            if not local[name]:
                del local[name]
    return local


def _elsewhere(state: StackState) -> bool:
    """Whether the environment leads to another store than the stack's."""
    ours = {"", state.access_key, _endpoint(state)}
    return any(os.environ.get(name, "") not in ours for name in VARIABLES)


def _endpoint(state: StackState) -> str:
    return f"http://{LOOPBACK}:{state.ports.s3}"


def _last(settings: list[ConfigObj], section: str, key: str) -> str:
    """The later settings overrule the earlier; "" when none has the key."""
    found = [one[section][key] for one in settings if key in one.get(section, {})]
    return found[-1] if found else ""


def _read(path: Path) -> ConfigObj:
    lines = read_text(path).splitlines() if path.exists() else []
    try:
        return ConfigObj(lines, indent_type="    ", interpolation=False)
    except ConfigObjError as error:
        raise UserError(f"{path}: {error}; put it right or delete the line") from error


def _write(path: Path, settings: ConfigObj) -> None:
    """Readable by the user alone, for the keys. Settings that say nothing are no file."""
    lines = settings.write()
    if lines == _read(path).write():
        return
    if not lines:
        path.unlink(missing_ok=True)
        return
    with atomic_path(path) as temporary:
        temporary.touch(0o600)
        temporary.write_text("\n".join(lines) + "\n")
