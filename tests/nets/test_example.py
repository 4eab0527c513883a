"""The network family that the documentation adds works everywhere, from its one file."""

import json
import subprocess
import sys
from pathlib import Path

from tests.conftest import ROOT
from tests.examples import code_of

USE = """
import json, pickle, sys
import example
from drdd.errors import UserError
from drdd.params import read, validate

def of(network, **changes):
    content = read("params.yaml")
    content["train"]["noise"] |= {"conditioning": "none", "network": network, **changes}
    return validate(content)

def refused(network, **changes):
    try:
        of(network, **changes)
    except UserError as error:
        return str(error)

params = of({"family": "patch", "side": 2})
said = {
    "range": refused({"family": "patch", "side": 9}),
    "internal": refused({"family": "patch", "gain": 2.0}),
    "family": refused({"family": "path"}),
    "crop": refused({"family": "patch", "side": 3}),
    "pickled": pickle.loads(pickle.dumps(params)) == params,
    "torch": "torch" in sys.modules,
}

import torch
from drdd.nets.families import build, described, for_inference, network_config, training_format
from drdd.training.settings import networks_of

config = networks_of(params, "noise")["noise"]
plain = json.loads(json.dumps(described(config)))
net = build(network_config(**plain))
format_ = training_format(net, torch.device("cpu"), bf16=False)
out = for_inference(net)(torch.zeros(2, 3, 6, 4), torch.tensor([1.0, 1000.0]))
said |= {"described": plain, "again": network_config(**plain) == config}
said |= {"format": str(format_), "shape": list(out.shape)}
print(json.dumps(said))
"""


def test_the_example_is_validated_described_and_built(tmp_path: Path) -> None:
    (tmp_path / "example.py").write_text(code_of("A family of networks"))
    ran = subprocess.run(
        [sys.executable, "-c", USE],
        cwd=ROOT,
        env={"PYTHONPATH": f"{tmp_path}:{ROOT}"},
        text=True,
        capture_output=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    said = json.loads(ran.stdout)
    assert "train.noise.network.side = 9" in said["range"]
    assert "(of a patch, pixels)" in said["range"]
    assert "train.noise.network.gain: unknown key" in said["internal"]
    assert "one of patch, adm, compact, rddm, pretrained, did you mean 'patch'?" in said["family"]
    assert "crop 64 must be a multiple of 3 for this network" in said["crop"]
    assert said["pickled"]
    assert not said["torch"], "torch was imported to read params"
    fields = {"in_channels": 3, "out_channels": 3, "side": 2, "width": 64, "gain": 1.0}
    assert said["described"] == {"family": "patch", **fields}
    assert said["again"]
    assert said["format"] == "torch.channels_last"
    assert said["shape"] == [2, 3, 6, 4]
