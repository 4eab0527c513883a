"""`python -m infra.base.photographs FOLDER`: fetches the photographs that the base learns from.

The list is drdd/base/photographs.csv. Debian packages are downloaded by apt-get (155 MB in all) and read
by dpkg-deb, nothing is installed; of Python distributions the installed ones are read. Only the listed
files are written, to FOLDER/<split>/<package>/<name>, and only if their hash is the listed one. What is
there already is not fetched again, so an interrupted run resumes. A package may have changed since the list
was made: the run names what is missing and goes on without it.
"""

import hashlib
import importlib.metadata
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import typer

from drdd.base.photographs import Photograph, listed
from drdd.errors import UserError
from drdd.files import write_bytes
from infra.base.resources import unpack

RESOURCES = ".rcc"  # a file of files: a path goes on inside it
Files = Iterator[tuple[str, bytes]]


def fetch(
    folder: Path, photographs: Sequence[Photograph], say: Callable[[str], object]
) -> list[Photograph]:
    """Write FOLDER/<split>/<package>/<name> for each photograph, and return those that could not be had.

    say: receives a line for each package. Raises UserError if Debian packages are needed on a machine that
    has not the tools for them, before any work.
    """
    packages: dict[tuple[str, str], list[Photograph]] = defaultdict(list)
    for one in photographs:
        if not _is_there(folder, one):
            packages[one.kind, one.package].append(one)
    if any(kind == "debian" for kind, _ in packages):
        _demand_tools()
    missing = []
    for number, ((kind, package), wanted) in enumerate(packages.items(), 1):
        note = ""
        try:
            left = _fetch_package(folder, READERS[kind], wanted)
            note = f", {len(left)} missing" if left else ""
        except LookupError as error:
            left, note = wanted, f" ({error})"
        missing += left
        say(f"{number}/{len(packages)} {package}: {len(wanted) - len(left)} photographs{note}")
    return missing


def _is_there(folder: Path, one: Photograph) -> bool:
    path = folder / one.place
    return path.is_file() and _hash(path.read_bytes()) == one.sha256


def _hash(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _fetch_package(
    folder: Path, read: Callable[[str, set[str]], Files], wanted: list[Photograph]
) -> list[Photograph]:
    """The photographs of one package that it does not have, or not with the listed hash."""
    left = {one.path: one for one in wanted}
    for path, content in read(wanted[0].package, set(left)):
        one = left.get(path)
        if one is not None and _hash(content) == one.sha256:
            write_bytes(folder / one.place, content)
            del left[path]
    return list(left.values())


def _debian(package: str, paths: set[str]) -> Files:
    """The files of a Debian package at the paths. Raises LookupError if apt-get cannot download it."""
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(
            ["apt-get", "--quiet", "download", package],
            cwd=folder,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            lines = done.stderr.strip().splitlines()
            raise LookupError(lines[-1] if lines else f"apt-get ended with {done.returncode}")
        [archive] = Path(folder).glob("*.deb")
        yield from _unpacked(archive, paths)


def _unpacked(archive: Path, paths: set[str]) -> Files:
    with (
        subprocess.Popen(
            ["dpkg-deb", "--fsys-tarfile", archive], stdout=subprocess.PIPE
        ) as unpacking,
        tarfile.open(fileobj=unpacking.stdout, mode="r|") as members,
    ):
        for member in members:
            name = member.name.removeprefix("./")
            file = members.extractfile(member) if member.isfile() else None
            if file and name in paths:
                yield name, file.read()
            elif file and name.endswith(RESOURCES) and any(p.startswith(f"{name}/") for p in paths):
                yield from ((f"{name}/{path}", content) for path, content in unpack(file.read()))


def _installed(package: str, paths: set[str]) -> Files:
    """The files of a Python distribution at the paths. Raises LookupError if it is not installed."""
    try:
        distribution = importlib.metadata.distribution(package)
    except importlib.metadata.PackageNotFoundError as error:
        raise LookupError("not installed") from error
    for path in sorted(paths):
        file = Path(str(distribution.locate_file(path)))
        if file.is_file():
            yield path, file.read_bytes()


READERS: dict[str, Callable[[str, set[str]], Files]] = {"debian": _debian, "pypi": _installed}


def _demand_tools() -> None:
    tools = [tool for tool in ("apt-get", "dpkg-deb") if not shutil.which(tool)]
    if tools:
        raise UserError(
            f"the photographs are in Debian packages, and this machine has no {' and no '.join(tools)}",
            "run this command on Debian or in a container of Debian, and copy the folder here",
        )


def main(folder: Path) -> None:
    """Fetch the photographs that the base learns from to FOLDER: 155 MB of packages."""
    photographs = listed()
    missing = fetch(folder, photographs, lambda line: sys.stderr.write(f"{line}\n"))
    found = len(photographs) - len(missing)
    sys.stderr.write(f"{folder} has {found} of {len(photographs)} photographs\n")
    if missing:
        names = ", ".join(f"{one.package}/{one.name}" for one in missing)
        sys.stderr.write(
            f"missing, because their package is not to be had or has changed: {names}; "
            "`apt-get update` may help, and the base can be trained without them\n"
        )


if __name__ == "__main__":
    try:
        typer.run(main)
    except UserError as error:
        sys.exit(str(error))
