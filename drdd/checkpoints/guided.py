"""The sizes of guided diffusion's UNet (Dhariwal and Nichol 2021), read off its weights.

Our AdmUNet names its parameters as guided diffusion does, so there is nothing to rename.
"""

from collections.abc import Mapping

from torch import Tensor

from drdd.nets.adm import AdmConfig


def adm_config(weights: Mapping[str, Tensor], head_channels: int = 64) -> AdmConfig:
    """Sizes from guided diffusion's weights, all but the channels of a head, which leave no trace.

    Raises KeyError for a tensor that is missing.
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
    """Residual blocks a level: where the size first changes, by a convolution or in a block.

    count: of input blocks. Blocks that change the size look like any other on the way down; on the
    way up they stand behind the last of a level's `blocks` + 1 steps.
    """
    for i in range(count):
        if f"input_blocks.{i}.0.op.weight" in weights:
            return i - 1
        if any(f"output_blocks.{i}.{j}.in_layers.2.weight" in weights for j in (1, 2)):
            return i
    return count - 1
