"""A flow of affine couplings (Dinh et al. 2017, "Density estimation using Real NVP").

Coupling i splits the d dimensions by parity: those whose index has the parity of i pass unchanged and, together with
the context, set scale and shift of the others:

    z_b = y_b * s + b,   s = sigmoid(u + 2) + m in (m, 1 + m), m = 0.001,   b = 5 tanh(v),   (v, u) = net(y_a, context)

With the scale law "free", s = softplus(u + c) + m has no upper bound: the conditional spread of an outcome can then
fall below its marginal spread. c makes s = 1 + m at u = 0. Not exp(u), which overflows for the large u far outside the
training rows.

A reversal of the dimensions follows each coupling; the base is a standard normal. log |dz/dy| = sum log s.

With d = 1 every second coupling has nothing to transform ("dead"), and no conditioner sees y: the conditional is
exactly Gaussian, all couplings can be evaluated at once, and the mean is the inverse of z = 0.
"""

import math
from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from ssc_sweep.models.layers import ResidualNet
from ssc_sweep.models.steady import steady
from ssc_sweep.streams import stream

MAX_SHIFT = 5.0
MIN_SCALE = 1e-3
# softplus of this is 1.
AT_ONE = math.log(math.e - 1)
ScaleLaw = Literal["sigmoid", "free"]


class CouplingFlow(nn.Module):
    """p(y | context) for R runs; y has shape (R, B, d), the context (R, B, d_context), d_context >= 0.

    Args:
        name: first part of the names of the random streams that draw the weights.
        inert: also build and evaluate couplings that transform nothing.
        min_scale: added to every scale; the inverse divides by it.
        scale_law: "sigmoid" or "free".
    """

    def __init__(
        self,
        d: int,
        d_context: int,
        couplings: int,
        width: int,
        seeds: Sequence[int],
        name: str,
        inert: bool,
        min_scale: float = MIN_SCALE,
        scale_law: ScaleLaw = "sigmoid",
    ) -> None:
        super().__init__()
        self.min_scale, self.free = min_scale, scale_law == "free"
        self.d, self.runs = d, len(seeds)
        halves = slice(0, None, 2), slice(1, None, 2)
        live = [i for i in range(couplings) if inert or self.count(halves[(i + 1) % 2])]
        self.passed, self.moved = [halves[i % 2] for i in live], [halves[(i + 1) % 2] for i in live]
        # Conditioners that see only the context form one stack of networks; others run one after another.
        self.together = not any(self.count(passed) for passed in self.passed)
        groups = [live] if self.together else [[i] for i in live]
        self.nets = nn.ModuleList(
            ResidualNet(
                d_in=self.count(halves[group[0] % 2]),
                d_context=d_context,
                width=width,
                d_out=2 * self.count(halves[(group[0] + 1) % 2]),
                draws=[stream(seed, f"{name}.{i}") for seed in seeds for i in group],
            )
            for group in groups
        )

    def count(self, part: slice) -> int:
        """Return how many of the d dimensions this part has."""
        return len(range(self.d)[part])

    def learning(self) -> list[nn.Parameter]:
        """Return the parameters of couplings that transform something; the others never get a gradient."""
        if self.together:
            return list(self.nets.parameters())
        live = [net for net, moved in zip(self.nets, self.moved, strict=True) if self.count(moved)]
        return [parameter for net in live for parameter in net.parameters()]

    def _all_at_once(self, context: Tensor) -> tuple[Tensor, Tensor]:
        """Scale and shift of every coupling if none depends on y: (R, couplings, B, 1) each."""
        copies = len(self.moved)
        context = context.repeat_interleave(copies, dim=0)
        out = self.nets[0](context[..., :0], context)
        return self._scale_and_shift(out.view(self.runs, copies, *out.shape[1:]))

    def forward(self, y: Tensor, context: Tensor) -> tuple[Tensor, Tensor]:
        """y -> (z, log |dz/dy|): (R, B, d) -> (R, B, d), (R, B)."""
        if self.together:
            scales, shifts = self._all_at_once(context)
            for scale, shift in zip(scales.unbind(1), shifts.unbind(1), strict=True):
                y = y * scale + shift
            return y, scales.log().sum(dim=(1, 3))
        log_scales = []
        for net, passed, moved in zip(self.nets, self.passed, self.moved, strict=True):
            scale, shift = self._scale_and_shift(net(y[..., passed], context))
            log_scales.append(scale.log())
            y = _replace(y, moved, y[..., moved] * scale + shift).flip(-1)
        return y, torch.cat(log_scales, dim=-1).sum(dim=-1)

    def inverse(self, z: Tensor, context: Tensor) -> Tensor:
        """z -> y, the inverse of `forward`: (R, B, d) -> (R, B, d)."""
        if self.together:
            scales, shifts = self._all_at_once(context)
            for scale, shift in zip(reversed(scales.unbind(1)), reversed(shifts.unbind(1)), strict=True):
                z = (z - shift) / scale
            return z
        for net, passed, moved in reversed(list(zip(self.nets, self.passed, self.moved, strict=True))):
            z = z.flip(-1)
            scale, shift = self._scale_and_shift(net(z[..., passed], context))
            z = _replace(z, moved, (z[..., moved] - shift) / scale)
        return z

    def _scale_and_shift(self, out: Tensor) -> tuple[Tensor, Tensor]:
        """A conditioner's output (..., 2 d) -> (scale, shift), (..., d) each."""
        v, u = out.chunk(2, dim=-1)
        scale = steady(nn.functional.softplus, u + AT_ONE) if self.free else steady(torch.sigmoid, u + 2)
        return scale + self.min_scale, MAX_SHIFT * torch.tanh(v)

    def density(self, y: Tensor, context: Tensor) -> tuple[Tensor, Tensor]:
        """log p(y | context), and log |dz/dy|, the log of the product of all scales: (R, B) each."""
        z, log_det = self(y, context)
        return self.log_prob(z, log_det), log_det

    def log_prob(self, z: Tensor, log_det: Tensor) -> Tensor:
        """log p(y | context) from the result of `forward`: (R, B, d), (R, B) -> (R, B)."""
        return log_det - 0.5 * (z.square().sum(dim=-1) + self.d * math.log(2 * math.pi))


def _replace(y: Tensor, moved: slice, values: Tensor) -> Tensor:
    """y with the dimensions `moved` replaced by `values`."""
    out = y.clone()
    out[..., moved] = values
    return out
