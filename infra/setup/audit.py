"""`make audit`: known faults of every package that the locks pin, by pip-audit, less the exceptions.

Exceptions are in audit.toml: id, why, until. Ends with 1 for a fault, 2 when one has expired or the
list is wrong, 3 when the database of faults cannot be reached.
"""

import datetime
import os
import subprocess
import sys
import tomllib
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from drdd.errors import UserError

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
LOCKS = ("requirements.lock", "infra/setup/torch.cuda.lock", "infra/setup/kubernetes.lock")
OWN = ("infra/setup/bootstrap.lock", "infra/setup/tools.lock")
UNREACHABLE = ("ConnectionError", "Could not connect", "Max retries exceeded", "ServiceError")


class ExceptionEntry(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)
    id: str = Field(pattern=r"^[A-Za-z0-9-]+$")
    why: str = Field(min_length=10)
    until: datetime.date


class Exceptions(BaseModel):
    model_config = ConfigDict(extra="forbid")
    exception: list[ExceptionEntry] = []


def exceptions(path: Path, today: datetime.date) -> list[str]:
    """Their ids. Raises UserError for a file of another form and for entries that have expired."""
    try:
        listed = Exceptions.model_validate(tomllib.loads(path.read_text())).exception
    except (tomllib.TOMLDecodeError, ValidationError) as error:
        raise UserError(f"{path.name}: {error}", "each [[exception]] has id, why, until") from None
    if expired := [f"{one.id} ({one.until})" for one in listed if one.until < today]:
        raise UserError(
            f"{path.name}: expired: {', '.join(expired)}",
            "take the release that mends it (make lock), or say anew why it may wait",
        )
    return [one.id for one in listed]


def main(path: Path = HERE / "audit.toml") -> int:
    try:
        ignored = exceptions(path, datetime.date.today())
    except UserError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    command = [str(ROOT / ".venv/tools/bin/pip-audit"), "--disable-pip", "--progress-spinner=off"]
    command += ["--vulnerability-service=osv"]
    if url := os.environ.get("OSV_URL"):
        command.append(f"--osv-url={url}")
    command += [part for one in ignored for part in ("--ignore-vuln", one)]
    # The tools are installed apart, so the same package may be pinned in both groups.
    return max(_audited(command, locks) for locks in (LOCKS, OWN))


def _audited(command: list[str], locks: tuple[str, ...]) -> int:
    files = [part for lock in locks for part in ("--requirement", str(ROOT / lock))]
    done = subprocess.run([*command, *files], capture_output=True, text=True, check=False)
    if done.returncode and any(word in done.stderr for word in UNREACHABLE):
        sys.stderr.write(
            "nothing was audited: the database of known faults (api.osv.dev) cannot be reached; "
            "run `make audit` where it can, or set OSV_URL to a mirror\n"
        )
        return 3
    sys.stdout.write(done.stdout)
    sys.stderr.write(done.stderr)
    return done.returncode


if __name__ == "__main__":
    sys.exit(main())
