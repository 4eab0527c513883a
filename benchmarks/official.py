"""The authors' networks, out of a checkout of their repository, to be timed beside ours."""

import sys
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest.mock import MagicMock

from torch import nn

# The authors' module, class and arguments of the same network.
OFFICIAL: dict[str, tuple[str, str, dict[str, Any]]] = {
    "residual, paper": (
        "src.drdd",
        "UnetRes",
        {"dim": 64, "dim_mults": (1, 2, 4, 8), "condition": True},
    ),
    "noise, paper": (
        "src.guided_diffusion.unet",
        "UNetModel",
        {
            "image_size": 256,
            "in_channels": 6,
            "model_channels": 128,
            "out_channels": 3,
            "num_res_blocks": 2,
            "attention_resolutions": (8, 16, 32),
            "channel_mult": (1, 1, 2, 2, 4, 4),
            "num_head_channels": 64,
            "use_scale_shift_norm": True,
            "resblock_updown": True,
        },
    ),
}


def authors_net(checkout: Path, name: str) -> nn.Module:
    """Their class, with empty modules in place of the packages that its file imports and never needs."""
    module, kind, arguments = OFFICIAL[name]
    root = checkout / "DRDD-code"
    if not root.is_dir():
        sys.exit(
            f"{checkout} holds no DRDD-code folder: give a checkout of the authors' repository"
        )
    if str(root) not in sys.path:
        sys.path.append(str(root))
    for _ in range(40):
        try:
            loaded: ModuleType = __import__(module, fromlist=[kind])
            network: nn.Module = getattr(loaded, kind)(**arguments)
            return network
        except ModuleNotFoundError as error:
            if not error.name or error.name in ("einops", module):
                sys.exit(f"the authors' code needs the package {error.name}: pip install it")
            sys.modules[error.name] = MagicMock()
    sys.exit(f"{checkout}: its {module} cannot be imported")
