"""Optimisers for a stack: one update rule, with a learning rate and a weight decay for each run.

The arithmetic is torch's own fused kernels - those behind torch.optim.Adam(fused=True) - called once per run on that
run's slices of the parameters. They divide the gradients by `grad_scale` as they read them, so clipping needs no
extra pass over memory. They are called directly, because torch's wrappers count the steps of every tensor one by one,
which takes longer than the arithmetic of a small network.

On a GPU one call per run would leave it idle: there one chain of operations updates all runs of a parameter, with the
same arithmetic.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Annotated, ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn

from ssc_sweep.schema import Positive

Decay = Annotated[float, Field(ge=0, lt=1)]

Slices = list[list[Tensor]]


def by_run(tensors: Sequence[Tensor], runs: int) -> Slices:
    """Split tensors (R * members, ...) into views of each run: result[r][i] is run r's part of tensors[i]."""
    return _transpose([tensor.view(runs, -1) for tensor in tensors])


def _transpose(tensors: Sequence[Tensor]) -> Slices:
    if len(tensors[0]) == 1:
        return [list(tensors)]  # a single run needs no split
    return [list(parts) for parts in zip(*(tensor.unbind(0) for tensor in tensors), strict=True)]


class Optimizer(ABC):
    """Updates the parameters of a stack, run by run.

    Args:
        parameters: leaves whose leading axis is R or a multiple of it, run after run.
        lr, weight_decay: one number per run.

    Its YAML gives the further arguments of the constructor.
    """

    def __init__(self, parameters: Sequence[nn.Parameter], lr: Sequence[float], weight_decay: Sequence[float]) -> None:
        self.lr, self.weight_decay = list(lr), list(weight_decay)
        self.whole = [p.detach().view(self.runs, -1) for p in parameters]
        self.parameters = by_run(self.whole, self.runs)
        self.together = self.whole[0].device.type != "cpu"
        # One number per run, (R, 1), on the parameters' device.
        self.rates, self.decays = (self.whole[0].new_tensor(values).unsqueeze(1) for values in (lr, weight_decay))

    @property
    def runs(self) -> int:
        return len(self.lr)

    def zeros(self) -> list[Tensor]:
        """Return a zero moment for every parameter, (R, size) each."""
        return [torch.zeros_like(whole) for whole in self.whole]

    def step(self, gradients: Sequence[Tensor], divisor: Tensor) -> None:
        """Update every run by its gradients, (R, size) for each parameter, divided by its `divisor` (R,)."""
        if self.together:
            self.update_together([gradient / divisor.unsqueeze(1) for gradient in gradients])
            return
        if divisor.dtype == torch.float64:
            # The kernels read grad_scale in float32, so a float64 run would lose half of its digits.
            for gradient in gradients:
                gradient.div_(divisor.unsqueeze(1))
            divisor = torch.ones_like(divisor, dtype=torch.float32)
        slices = _transpose(gradients)
        for run, scale in enumerate(divisor.unbind(0)):
            self.update(run, slices[run], scale)

    @abstractmethod
    def update(self, run: int, gradients: list[Tensor], scale: Tensor) -> None:
        """Update run `run` by gradients / scale, with its learning rate and weight decay."""

    @abstractmethod
    def update_together(self, gradients: list[Tensor]) -> None:
        """Update every run by its gradients, (R, size) for each parameter."""


class Adam(Optimizer):
    """Adam (Kingma & Ba 2015); weight decay is added to the gradient."""

    kernel: ClassVar[Callable[..., None]] = torch._fused_adam_
    decoupled: ClassVar[bool] = False

    def __init__(
        self,
        parameters: Sequence[nn.Parameter],
        lr: Sequence[float],
        weight_decay: Sequence[float],
        beta1: Decay,
        beta2: Decay,
        eps: Positive,
    ) -> None:
        super().__init__(parameters, lr, weight_decay)
        self.beta1, self.beta2, self.eps = beta1, beta2, eps
        self.moments = self.zeros(), self.zeros()
        self.first, self.second = (by_run(moment, self.runs) for moment in self.moments)
        # One counter for all tensors of all runs: they step together.
        self.count = torch.zeros((), dtype=torch.float32, device=parameters[0].device)

    def step(self, gradients: Sequence[Tensor], divisor: Tensor) -> None:
        self.count += 1
        super().step(gradients, divisor)

    def update(self, run: int, gradients: list[Tensor], scale: Tensor) -> None:
        self.kernel(
            self.parameters[run],
            gradients,
            self.first[run],
            self.second[run],
            [],
            [self.count] * len(gradients),
            lr=self.lr[run],
            beta1=self.beta1,
            beta2=self.beta2,
            weight_decay=self.weight_decay[run],
            eps=self.eps,
            amsgrad=False,
            maximize=False,
            grad_scale=scale,
        )

    def update_together(self, gradients: list[Tensor]) -> None:
        first_share, second_share = (1 - beta ** self.count.double() for beta in (self.beta1, self.beta2))
        for values, gradient, first, second in zip(self.whole, gradients, *self.moments, strict=True):
            if self.decoupled:
                values.mul_(1 - self.rates * self.decays)
            else:
                gradient = gradient + self.decays * values
            first.lerp_(gradient, 1 - self.beta1)
            second.mul_(self.beta2).addcmul_(gradient, gradient, value=1 - self.beta2)
            # The shares are 0-dimensional, so they do not promote float32 to float64.
            values.sub_(self.rates * (first / first_share) / ((second / second_share).sqrt() + self.eps))


class AdamW(Adam):
    """Adam with decoupled weight decay (Loshchilov & Hutter 2019)."""

    kernel = torch._fused_adamw_
    decoupled = True


class SGD(Optimizer):
    """Stochastic gradient descent with momentum; weight decay is added to the gradient."""

    def __init__(
        self, parameters: Sequence[nn.Parameter], lr: Sequence[float], weight_decay: Sequence[float], momentum: Decay
    ) -> None:
        super().__init__(parameters, lr, weight_decay)
        self.momentum = momentum
        self.velocities = self.zeros()
        self.velocity = by_run(self.velocities, self.runs)

    def update(self, run: int, gradients: list[Tensor], scale: Tensor) -> None:
        torch._fused_sgd_(
            self.parameters[run],
            gradients,
            self.velocity[run] if self.momentum else [],
            weight_decay=self.weight_decay[run],
            momentum=self.momentum,
            lr=self.lr[run],
            dampening=0.0,
            nesterov=False,
            maximize=False,
            # Zeros are right with dampening 0: the first step gives momentum * 0 + gradient.
            is_first_step=False,
            grad_scale=scale,
        )

    def update_together(self, gradients: list[Tensor]) -> None:
        for values, gradient, velocity in zip(self.whole, gradients, self.velocities, strict=True):
            velocity.mul_(self.momentum).add_(gradient + self.decays * values)
            values.sub_(self.rates * velocity)
