"""The plain rival: one network predicts the residual from the degraded image, without any noise."""

from torch import Tensor

from drdd.diffusion.process import Net
from drdd.diffusion.sampler import Sample, constant_time
from drdd.diffusion.schedule import Schedule


def regression_loss(
    net: Net, schedule: Schedule, target: Tensor, degraded: Tensor, t: Tensor, noise: Tensor
) -> Tensor:
    """Squared error of I_res predicted from I_in alone, (B,). t and noise are not used."""
    predicted = net(degraded, constant_time(degraded, schedule.steps))
    return (predicted.float() - (degraded - target)).square().mean(dim=(1, 2, 3))


def regress(net: Net, schedule: Schedule, degraded: Tensor) -> Sample:
    """I_in - I_res_hat in one step; all states of the result are this one."""
    output = degraded - net(degraded, constant_time(degraded, schedule.steps)).float()
    return Sample(output, output, output, (degraded, output))
