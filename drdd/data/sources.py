"""Where images come from: a folder or an s3:// prefix."""

from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path, PurePosixPath

from drdd.errors import TransientError, UserError
from drdd.storage import explained, open_filesystem

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
    fs, root = open_filesystem(source)
    with explained(source):
        found = fs.find(root)
    names = {path: path[len(root) :].lstrip("/") for path in sorted(map(str, found))}
    wanted = {
        path: name
        for path, name in names.items()
        if PurePosixPath(name).suffix.lower() in SUFFIXES and not name.startswith(".")
    }
    if not wanted:
        with explained(source):
            state = "holds no image file" if fs.exists(root) else "does not exist"
        raise UserError(
            f"{source} {state}; a corpus needs at least one of {', '.join(sorted(SUFFIXES))}"
        )
    for path, name in wanted.items():
        try:
            with explained(source):
                content = fs.cat_file(path)
        except UserError as error:
            yield Unreadable(name, str(error))
        except TransientError as error:
            if "://" in source:
                raise
            yield Unreadable(name, str(error))
        else:
            yield Blob(name, content)


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
