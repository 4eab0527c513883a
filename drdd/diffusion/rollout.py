"""Training the residual net on the states that its own sampler reaches.

The smaller a_t and s are, the more y_t = I_0 + s * eps + a_t * I_res reveals I_0, so a net trained on true
states learns to read the answer from y_t. In sampling, y_t contains the net's own earlier prediction
instead, and the net repeats it. Training on the states that the sampler reaches makes the net correct its
earlier errors. The decoupling allows this: the target is I_res at every state of the residual part,
however the state was reached.
"""

import torch
from torch import Tensor

from drdd.diffusion.losses import Loss, squared
from drdd.diffusion.process import Net, diffuse_residual, part, residual_error
from drdd.diffusion.sampler import remove_residual
from drdd.diffusion.schedule import Schedule


def rollout_loss(
    net: Net,
    schedule: Schedule,
    target: Tensor,
    degraded: Tensor,
    t: Tensor,
    noise: Tensor,
    count: int,
    loss: Loss = squared,
) -> Tensor:
    """`residual_loss`, (B,), but with the sampler's own state as y_t where t is one of its later steps.

    count: number of residual steps of the sampler. `net` computes these states without gradients; all
    other steps use the true y_t.
    """
    y = diffuse_residual(schedule, target, degraded, t, noise)
    grid = schedule.residual_grid(count)[:-1]
    for i in range(1, len(grid)):
        at_step = (t == grid[i]).nonzero()[:, 0]
        if len(at_step):
            inputs = degraded[at_step]
            first_state = inputs + schedule.fixed_noise * noise[at_step]
            with torch.no_grad():
                of = part(net, at_step)
                *_, (state, _) = remove_residual(of, schedule, first_state, inputs, grid[: i + 1])
            y[at_step] = state
    return loss(residual_error(net, schedule, y, target, degraded, t))
