"""Local copies of versions, created atomically and with every hash checked."""

import tempfile
from collections.abc import Callable
from pathlib import Path

from drdd.errors import UserError
from drdd.files import flush, flush_tree, json_bytes, make_folder, write_json
from drdd.registry.manifest import MANIFEST, Version, file_of, to_dict


def check(folder: Path, version: Version) -> list[str]:
    """Sentences on what is wrong with a pulled version in `folder`; [] when every byte is right.

    version: as the registry has it. What a folder says of itself vouches for nothing: whoever could
    write the model could write its manifest too.
    """
    found = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if not path.is_dir()}
    strange = sorted(found - {*version.files, MANIFEST})
    problems = [f"{name} does not belong to it" for name in strange]
    if MANIFEST not in found:
        problems.append(f"{MANIFEST} is missing")
    elif not _is_plain(folder / MANIFEST):
        problems.append(f"{MANIFEST} is no file")
    elif (folder / MANIFEST).read_bytes() != json_bytes(to_dict(version)):
        problems.append(f"{MANIFEST} is not the registry's")
    for name, file in version.files.items():
        if name not in found:
            problems.append(f"{name} is missing")
        elif not _is_plain(folder / name) or file_of(folder / name) != file:
            problems.append(f"{name} does not have the manifest's SHA-256 {file.sha256}")
    return problems


def _is_plain(path: Path) -> bool:
    """Whether it is a file of its own: a pipe would be waited for, a device read for ever."""
    return path.is_file() and not path.is_symlink()


def pull(version: Version, destination: Path, download: Callable[[str, Path], None]) -> None:
    """Download a version. A destination that holds exactly this version is kept.

    download: (name of a file, path) -> None. Raises UserError when the destination holds anything else,
    or a file does not match the manifest.
    """
    if _occupied(destination):
        _refuse_other(destination, version)
        return
    try:
        make_folder(destination.parent)
        with tempfile.TemporaryDirectory(prefix=".pull-", dir=destination.parent) as scratch:
            folder = Path(scratch) / version.id
            for name in version.files:
                download(name, folder / name)
            write_json(folder / MANIFEST, to_dict(version))
            if problems := check(folder, version):
                raise UserError(f"{version.uri} is damaged: {'; '.join(problems)}")
            _move(folder, destination, version)
    except OSError as error:
        raise UserError(f"{destination} cannot be written: {error}") from error


def _occupied(folder: Path) -> bool:
    return folder.exists() and (not folder.is_dir() or any(folder.iterdir()))


def _refuse_other(folder: Path, version: Version) -> None:
    if problems := check(folder, version):
        raise UserError(f"{folder} exists and holds something else: {problems[0]}; name another")


def _move(folder: Path, destination: Path, version: Version) -> None:
    """Move to an empty or missing destination. If another pull was first, check its result."""
    flush_tree(folder)
    try:
        folder.rename(destination)
        flush(destination.parent)
    except OSError:
        if not _occupied(destination):
            raise
        _refuse_other(destination, version)
