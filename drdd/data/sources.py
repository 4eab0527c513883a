"""Where images come from: a folder or an s3:// prefix, through fsspec.

S3 endpoint, keys and region come from the standard AWS_* environment.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path, PurePosixPath

import fsspec

from drdd.errors import TransientError, UserError

SUFFIXES = {".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff", ".gif", ".ppm", ".pgm"}


@dataclass(frozen=True)
class Blob:
    """One file of a source: `name` is its path below the source, without regard to the store."""

    name: str
    content: bytes

    @property
    def stem(self) -> str:
        return PurePosixPath(self.name).stem


@dataclass(frozen=True)
class Unreadable:
    """A file of a source whose bytes could not be had."""

    name: str
    reason: str


def read_images(source: str) -> Iterator[Blob | Unreadable]:
    """Every image file below `source`, in order of name; other files are passed over.

    Raises UserError when the source is missing, refused or holds no image file, TransientError
    when its store does not answer.
    """
    try:
        fs, root = fsspec.core.url_to_fs(source)
        found = {str(path): info for path, info in fs.find(root, detail=True).items()}
    except PermissionError as error:
        raise UserError(
            f"{source}: refused ({error}); check AWS_ACCESS_KEY_ID and its secret"
        ) from error
    except (OSError, ValueError) as error:
        raise _unreachable(source, error) from error
    root = root.rstrip("/")
    names = {path: path[len(root) :].lstrip("/") for path in sorted(found)}
    wanted = {
        path: name
        for path, name in names.items()
        if PurePosixPath(name).suffix.lower() in SUFFIXES and not name.startswith(".")
    }
    if not wanted:
        state = "holds no image file" if fs.exists(root) else "does not exist"
        raise UserError(
            f"{source} {state}; a corpus needs at least one of {', '.join(sorted(SUFFIXES))}"
        )
    for path, name in wanted.items():
        try:
            yield Blob(name, fs.cat_file(path))
        except PermissionError:
            yield Unreadable(name, "permission denied")
        except OSError as error:
            if "://" in source:
                raise _unreachable(source, error) from error
            yield Unreadable(name, f"cannot be read: {error.strerror or error}")


def package_file(name: str) -> Path:
    """The path of a file that an installed package bundles, given as "package/path/in/it.png"."""
    package, _, inner = name.partition("/")
    spec = find_spec(package)
    if spec is None or spec.origin is None:
        raise UserError(f"photographs: package {package!r} of {name!r} is not installed")
    path = Path(spec.origin).parent / inner
    if not path.is_file():
        raise UserError(f"photographs: package {package!r} does not bundle {inner!r}")
    return path


def _unreachable(source: str, error: Exception) -> TransientError:
    return TransientError(f"{source}: its store does not answer ({type(error).__name__}: {error})")
