"""The worked examples of the documentation, to be run."""

import re
from pathlib import Path


def code_of(page: Path) -> str:
    """The page's one block of Python."""
    (block,) = re.findall(r"^```python\n(.*?)^```$", page.read_text(), re.M | re.S)
    return str(block)
