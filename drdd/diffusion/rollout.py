"""Training the residual net on the states that its own sampler reaches.

y_t = I_0 + s * eps + a_t * I_res tells I_0 the better the smaller a_t and s are, so a net trained on
true states learns to read the answer off y_t. When sampling, y_t tells only what the net itself said
at the step before, and it says the same again. Training on states that the sampler reaches
asks for what is left to mend. The decoupling allows it: I_res is the answer at every state of the
residual part, wherever the state came from.
"""

import torch
from torch import Tensor

from drdd.diffusion.process import Net, diffuse_residual, residual_error
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
) -> Tensor:
    """`residual_loss`, (B,), but where t is one of the sampler's later steps, y_t is its own state.

    count: of the sampler's residual steps. The states are made by `net` as it is, without a
    gradient; other steps have the true y_t.
    """
    y = diffuse_residual(schedule, target, degraded, t, noise)
    grid = schedule.residual_grid(count)[:-1]
    for i in range(1, len(grid)):
        at_step = (t == grid[i]).nonzero()[:, 0]
        if len(at_step):
            inputs = degraded[at_step]
            first_state = inputs + schedule.fixed_noise * noise[at_step]
            with torch.no_grad():
                *_, (state, _) = remove_residual(net, schedule, first_state, inputs, grid[: i + 1])
            y[at_step] = state
    return residual_error(net, schedule, y, target, degraded, t)
