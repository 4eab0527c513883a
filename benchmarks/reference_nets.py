"""Reference implementations of our networks, written as in a textbook.

`reference_net` replaces each optimised layer by its formula, operation by operation, in the contiguous
memory format. The weights stay, so the outputs agree to rounding.
"""

import copy

import torch
from torch import Tensor, nn

from drdd.nets import adm_unet, rddm_unet


def reference_net(net: nn.Module) -> nn.Module:
    """A copy, on the same device."""
    net = copy.deepcopy(net).to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
    for module in net.modules():
        if textbook := TEXTBOOK.get(type(module)):
            module.__class__ = textbook
    return net


class _Standardised(rddm_unet.StandardisedConv):
    def standardised_weight(self) -> Tensor:
        mean = self.weight.mean(dim=(1, 2, 3), keepdim=True)
        variance = self.weight.var(dim=(1, 2, 3), correction=0, keepdim=True)
        return (self.weight - mean) / (variance + rddm_unet.EPS).sqrt()


class _ChannelNorm(rddm_unet._ChannelNorm):
    def forward(self, x: Tensor) -> Tensor:
        mean = x.mean(dim=1, keepdim=True)
        variance = x.var(dim=1, correction=0, keepdim=True)
        return (x - mean) / (variance + rddm_unet.EPS).sqrt() * self.gain.view(1, -1, 1, 1)


def _heads(qkv: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """(B, 3 * heads * d, H, W) -> three of (B, heads, d, H * W)."""
    q, k, v = qkv.flatten(2).unflatten(1, (3, rddm_unet.HEADS, rddm_unet.HEAD_CHANNELS)).unbind(1)
    return q, k, v


class _LinearAttention(rddm_unet._LinearAttention):
    def forward(self, x: Tensor) -> Tensor:
        height, width = x.shape[-2:]
        q, k, v = _heads(self.qkv(self.norm(x)))
        q, k = q.softmax(dim=-2) * rddm_unet.HEAD_CHANNELS**-0.5, k.softmax(dim=-1)
        context = torch.einsum("bhdn,bhen->bhde", k, v / (height * width))
        h = torch.einsum("bhde,bhdn->bhen", context, q).reshape(len(x), -1, height, width)
        return x + self.out_norm(self.out(h))


class _FullAttention(rddm_unet._FullAttention):
    def forward(self, x: Tensor) -> Tensor:
        q, k, v = _heads(self.qkv(self.norm(x)))
        weights = torch.einsum("bhdi,bhdj->bhij", q * rddm_unet.HEAD_CHANNELS**-0.5, k).softmax(
            dim=-1
        )
        h = torch.einsum("bhij,bhdj->bhdi", weights, v)
        return x + self.out(h.reshape(len(x), -1, *x.shape[-2:]))


class _Attention(adm_unet._Attention):
    def forward(self, x: Tensor) -> Tensor:
        qkv = self.qkv(self.norm(x).flatten(2))
        q, k, v = qkv.reshape(len(x) * self._heads, -1, qkv.shape[-1]).chunk(3, dim=1)
        scale = q.shape[1] ** -0.25
        weights = torch.einsum("bct,bcs->bts", q * scale, k * scale).softmax(dim=-1)
        h = torch.einsum("bts,bcs->bct", weights, v).reshape(len(x), -1, qkv.shape[-1])
        return x + self.proj_out(h).unflatten(-1, x.shape[-2:])


TEXTBOOK: dict[type[nn.Module], type[nn.Module]] = {
    rddm_unet.StandardisedConv: _Standardised,
    rddm_unet._ChannelNorm: _ChannelNorm,
    rddm_unet._LinearAttention: _LinearAttention,
    rddm_unet._FullAttention: _FullAttention,
    adm_unet._Attention: _Attention,
}


class ReferenceStep:
    """One step of AdamW and of the average, parameter by parameter."""

    def __init__(self, net: nn.Module) -> None:
        self._net = net
        self._optimizer = torch.optim.AdamW(net.parameters(), lr=1e-4, foreach=False, fused=False)
        self._average = [p.detach().clone() for p in net.parameters()]

    def __call__(self) -> None:
        nn.utils.clip_grad_norm_(self._net.parameters(), 1.0, foreach=False)
        self._optimizer.step()
        self._optimizer.zero_grad()
        with torch.no_grad():
            for mean, parameter in zip(self._average, self._net.parameters(), strict=True):
                mean.mul_(0.995).add_(parameter, alpha=0.005)
