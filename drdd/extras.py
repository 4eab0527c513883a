"""Find the extra of the package that installs a missing module."""

import re
from importlib.metadata import requires

from drdd.errors import UserError

# Packages whose modules have another name.
DISTRIBUTIONS = {
    "PIL": "pillow",
    "skimage": "scikit-image",
    "sklearn": "scikit-learn",
    "yaml": "pyyaml",
}
_OF_AN_EXTRA = re.compile(r"""(?!drdd\[)([A-Za-z0-9._-]+).*extra == ["'](\w+)["']""")


def missing(error: ModuleNotFoundError) -> Exception:
    """A UserError that names the extra to install; `error` itself if no extra has the module."""
    module = (error.name or "").partition(".")[0]
    wanted = _normal(DISTRIBUTIONS.get(module, module))
    for requirement in requires("drdd") or []:
        found = _OF_AN_EXTRA.match(requirement)
        if found and _normal(found[1]) == wanted:
            return UserError(
                f"{module} is not installed; where drdd is: pip install '.[{found[2]}]'"
            )
    return error


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
