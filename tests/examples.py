"""The worked examples of docs/development.md, to be run."""

import re

from tests.conftest import ROOT

PAGE = ROOT / "docs/development.md"


def code_of(section: str) -> str:
    """The first block of Python below a heading."""
    _, _, below = PAGE.read_text().partition(f"### {section}\n")
    block = re.search(r"^```python\n(.*?)^```$", below, re.M | re.S)
    assert block, section
    return block[1]
