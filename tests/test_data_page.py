"""docs/data.md: what it shows as params is valid."""

import re

import yaml

from drdd.params import validate
from tests.conftest import ROOT
from tests.project import tiny_params


def test_every_yaml_block_is_valid_params() -> None:
    page = (ROOT / "docs/data.md").read_text()
    blocks = re.findall(r"^```yaml\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    content = tiny_params()
    for block in blocks:
        for section, entries in yaml.safe_load(block).items():
            content[section] |= entries
    params = validate(content)
    assert {"holiday", "by_stem", "by_table", "not_aligned"} <= {*params.corpora, *params.paired}
