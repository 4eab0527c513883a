"""Infer the sizes of guided diffusion's UNet (Dhariwal and Nichol 2021) from its weights.

Our AdmUNet uses the parameter names of guided diffusion, so no tensor is renamed.
"""

from collections.abc import Mapping

from torch import Tensor

from drdd.nets.adm import AdmConfig


def adm_config(weights: Mapping[str, Tensor], head_channels: int = 64) -> AdmConfig:
    """The configuration from the weights, which reveal all sizes but the channels of an attention head.

    Raises KeyError for a missing tensor.
    """
    channels, in_channels = weights["input_blocks.0.0.weight"].shape[:2]
    base = weights["time_embed.0.weight"].shape[1]
    count = 1 + max(int(n.split(".")[1]) for n in weights if n.startswith("input_blocks."))
    blocks = _blocks(weights, count)
    firsts = range(1, count, blocks + 1)
    widths = [weights[f"input_blocks.{i}.0.in_layers.2.weight"].shape[0] for i in firsts]
    embedded = weights["input_blocks.1.0.emb_layers.1.weight"].shape[0]
    return AdmConfig(
        in_channels=in_channels,
        out_channels=weights["out.2.weight"].shape[0],
        channels=base,
        multipliers=tuple(width // base for width in widths),
        blocks=blocks,
        attention=tuple(
            2**level
            for level, i in enumerate(firsts)
            if f"input_blocks.{i}.1.qkv.weight" in weights
        ),
        middle_attention="middle_block.1.qkv.weight" in weights,
        head_channels=head_channels,
        scale_shift=embedded == 2 * channels,
        resblock_updown=not any(".op." in name for name in weights),
    )


def _blocks(weights: Mapping[str, Tensor], count: int) -> int:
    """The number of residual blocks per level, inferred from the first change of size.

    count: of input blocks. On the way down, blocks that change the size look like others; on the way up
    they follow the last of a level's `blocks` + 1 steps.
    """
    for i in range(count):
        if f"input_blocks.{i}.0.op.weight" in weights:
            return i - 1
        if any(f"output_blocks.{i}.{j}.in_layers.2.weight" in weights for j in (1, 2)):
            return i
    return count - 1
