"""Files that installed packages bundle."""

from importlib.util import find_spec
from pathlib import Path, PurePosixPath

from drdd.errors import UserError


def package_file(name: str) -> Path:
    """The path of a file in an installed package, given as "package/path/in/it.png".

    Raises UserError when there is none, and for a name that climbs out of its package.
    """
    package, _, inner = name.partition("/")
    # find_spec of a dotted name would import, and so run, the package before the dot.
    if not package.isidentifier() or inner.startswith("/") or ".." in PurePosixPath(inner).parts:
        raise UserError(
            f"photographs: {name!r} is not a file in a package; write package/path/in/it.png, without '..'"
        )
    spec = find_spec(package)
    if spec is None or spec.origin is None:
        raise UserError(f"photographs: package {package!r} of {name!r} is not installed")
    path = Path(spec.origin).parent / inner
    if not path.is_file():
        raise UserError(f"photographs: package {package!r} does not bundle {inner!r}")
    return path
