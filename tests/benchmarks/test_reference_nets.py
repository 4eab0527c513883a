"""The reference that speeds are measured against is the same network."""

import pytest
import torch

from benchmarks.reference_nets import TEXTBOOK, reference_net
from drdd.nets.adm import AdmConfig
from drdd.nets.compact import CompactConfig
from drdd.nets.families import NetworkConfig, build, for_inference, training_format
from drdd.nets.rddm import RddmConfig
from tests.nets.filled import filled, pictures

NETS: dict[str, NetworkConfig] = {
    "rddm": RddmConfig(6, 3, 16, (1, 2, 4)),
    "adm": AdmConfig(6, 3, 32, (1, 2, 2), 1, (2, 4), True, 16),
    "compact": CompactConfig(6, 3, (16, 32)),
}


@pytest.mark.parametrize("name", NETS)
@torch.inference_mode()
def test_plain_ours_and_what_is_served_are_one_function(name: str) -> None:
    net = filled(build(NETS[name]))
    x, time = pictures(name, 2, 6, 32, 48), torch.tensor([17.0, 613.5])
    wanted = reference_net(net).double()(x.double(), time.double())
    for other in (net, reference_net(net), for_inference(net)):
        assert float((other(x, time) - wanted).abs().max()) < 1e-5 * float(wanted.abs().max())


def test_every_layer_that_ours_computes_in_its_own_way_is_replaced() -> None:
    kinds = {type(module) for name in ("rddm", "adm") for module in build(NETS[name]).modules()}
    assert set(TEXTBOOK) <= kinds
    left = {type(m) for name in ("rddm", "adm") for m in reference_net(build(NETS[name])).modules()}
    assert not left & set(TEXTBOOK)


def test_wide_networks_train_contiguous_in_float32_on_a_cpu_alone() -> None:
    cpu, gpu = torch.device("cpu"), torch.device("cuda")
    wide, compact = build(NETS["adm"]), build(NETS["compact"])
    assert training_format(wide, cpu, bf16=False) is torch.contiguous_format
    for net, device, bf16 in ((wide, cpu, True), (wide, gpu, False), (compact, cpu, False)):
        assert training_format(net, device, bf16) is torch.channels_last
