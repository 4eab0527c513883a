"""Random generators keyed by what they are for, never by rank, order or global state."""

from hashlib import blake2b

import torch


def keyed_generator(*key: int | str, device: torch.device | str = "cpu") -> torch.Generator:
    """A generator whose stream is a pure function of `key`, such as (seed, "noise", sample index).

    Two different keys give independent streams; the same key gives the same stream in any process.
    """
    digest = blake2b(repr(key).encode(), digest_size=8).digest()
    return torch.Generator(device=device).manual_seed(int.from_bytes(digest, "big") >> 1)
