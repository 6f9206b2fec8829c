"""A density made of monotone rational-quadratic splines z = T(u), and the operations on them.

Durkan, Bekasov, Murray & Papamakarios 2019, "Neural Spline Flows", NeurIPS, arXiv:1906.04032, equations 4 to 8. Knots
(u_i, z_i) with slopes d_i split [-b, b] into bins. With t = (u - u_i) / (u_{i+1} - u_i) in a bin of slope
s = (z_{i+1} - z_i) / (u_{i+1} - u_i),

    T(u)  = z_i + (z_{i+1} - z_i) (s t^2 + d_i t (1 - t)) / q,      q = s + (d_i + d_{i+1} - 2 s) t (1 - t)
    T'(u) = s^2 (d_{i+1} t^2 + 2 s t (1 - t) + d_i (1 - t)^2) / q^2

Outside [-b, b] the paper uses the identity. Here T continues as a logarithm with the slope of its last knot,

    T(u)  = b + log(1 + d (u - b)) for u > b, and likewise below -b

so that u has log-normal tails, and an outlier does not cost the square of its distance. Numbers become knots as in
zuko: softmax and exp of softly bounded values. Zeros give the identity.

    >>> import torch
    >>> identity = knots(torch.zeros(number(8)), bins=8, bound=4.0)
    >>> forward(torch.tensor([0.3, 5.0]), identity)[0]
    tensor([0.3000, 4.6931])
"""

import math
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from ssc_sweep.models.layers import MLP, Draws, uniform

# Smallest slope, and smallest ratio of bin widths: both may be anything between this and its inverse.
LEAST = 1e-3
# Gauss-Legendre points of each bin, for the mean.
POINTS = 8
# Of a density: the spline covers +- BOUND sd of the base; the log scale is within +- LOG_SCALE.
BOUND, LOG_SCALE = 4.0, 5.0
# Parameters that all rows share learn this much faster than the weights of the network.
SHARED_RATE = 10.0
# Bound of the initial weights of a network's last layer: the density starts standard normal.
SMALL = 1e-3


class Knots(NamedTuple):
    """A spline, or many: u, z, slope, shape (..., bins + 1) each; u and z rise from -b to b."""

    u: Tensor
    z: Tensor
    slope: Tensor

    @property
    def bound(self) -> Tensor:
        """b, shape (...)."""
        return self.u[..., -1]


def number(bins: int) -> int:
    """Return how many numbers define a spline: a width and a height per bin, a slope per knot."""
    return 3 * bins + 1


def knots(raw: Tensor, bins: int, bound: float) -> Knots:
    """Make splines from any numbers: (..., number(bins)) -> knots (..., bins + 1)."""
    widths, heights, slopes = raw.split([bins, bins, bins + 1], dim=-1)
    u, z = (_rising(each, bound) for each in (widths, heights))
    return Knots(u, z, _held(slopes, -math.log(LEAST)).exp())


def _held(raw: Tensor, limit: float) -> Tensor:
    """Any numbers -> (-limit, limit), with slope 1 at 0."""
    return raw / (1 + raw.abs() / limit)


def _rising(raw: Tensor, bound: float) -> Tensor:
    """(..., bins) -> -bound = first < ... < last = bound, (..., bins + 1)."""
    shares = _held(raw, -math.log(LEAST) / 2).softmax(dim=-1)
    inner = bound * (2 * shares.cumsum(dim=-1)[..., :-1] - 1)
    return nn.functional.pad(nn.functional.pad(inner, (1, 0), value=-bound), (0, 1), value=bound)


class _Bin(NamedTuple):
    """The bin of each number: left knot, width and height of the bin, slope at its left and right end."""

    u: Tensor
    z: Tensor
    width: Tensor
    height: Tensor
    left: Tensor
    right: Tensor


def _bin_of(values: Tensor, edges: Tensor, spline: Knots) -> _Bin:
    """Find the bin of each of `values` (...) by `edges`, the u or the z of the knots."""
    place = (values.unsqueeze(-1) >= edges[..., 1:-1]).sum(dim=-1, keepdim=True)
    both = torch.cat([place, place + 1], dim=-1).unsqueeze(-2)
    ends = torch.stack(spline, dim=-2).expand(*place.shape[:-1], -1, -1)
    (u, u_right), (z, z_right), (left, right) = (
        each.unbind(-1) for each in ends.gather(-1, both.expand(*both.shape[:-2], 3, -1)).unbind(-2)
    )
    return _Bin(u, z, u_right - u, z_right - z, left, right)


def _inside(t: Tensor, at: _Bin) -> tuple[Tensor, Tensor]:
    """(T, T') at the relative position t in a bin."""
    s, both = at.height / at.width, t * (1 - t)
    q = s + (at.left + at.right - 2 * s) * both
    value = at.z + at.height * (s * t.square() + at.left * both) / q
    slope = s.square() * (at.right * t.square() + 2 * s * both + at.left * (1 - t).square()) / q.square()
    return value, slope


def forward(u: Tensor, spline: Knots) -> tuple[Tensor, Tensor]:
    """u -> (T(u), log T'(u)): numbers (...), splines (..., bins + 1)."""
    at = _bin_of(u, spline.u, spline)
    value, slope = _inside(((u - at.u) / at.width).clamp(0, 1), at)
    below = (1 + spline.slope[..., 0] * (-u - spline.bound).clamp(min=0)).log()
    above = (1 + spline.slope[..., -1] * (u - spline.bound).clamp(min=0)).log()
    return value + above - below, slope.log() - above - below


def inverse(z: Tensor, spline: Knots) -> Tensor:
    """T(u) -> u: the root in (0, 1) of a quadratic, in the form without cancellation (equation 29 of the paper)."""
    at = _bin_of(z, spline.z, spline)
    s = at.height / at.width
    rise = torch.minimum((z - at.z).clamp(min=0), at.height)
    bend = rise * (at.left + at.right - 2 * s)
    a, b, c = at.height * (s - at.left) + bend, at.height * at.left - bend, -s * rise
    t = 2 * c / (-b - (b.square() - 4 * a * c).clamp(min=0).sqrt())
    below = ((-z - spline.bound).clamp(min=0).exp() - 1) / spline.slope[..., 0]
    above = ((z - spline.bound).clamp(min=0).exp() - 1) / spline.slope[..., -1]
    return at.u + t * at.width + above - below


def mean(spline: Knots) -> Tensor:
    """E[u] if T(u) is standard normal: splines (..., bins + 1) -> (...).

    The integral of u phi(T(u)) T'(u), by Gauss-Legendre quadrature in each bin; exact in the tails.
    """
    points, weights = (spline.u.new_tensor(each) for each in np.polynomial.legendre.leggauss(POINTS))
    # Every bin, with an axis for its quadrature points.
    u, z, left, right = (
        each.unsqueeze(-1) for each in (spline.u, spline.z, spline.slope[..., :-1], spline.slope[..., 1:])
    )
    at = _Bin(u[..., :-1, :], z[..., :-1, :], u.diff(dim=-2), z.diff(dim=-2), left, right)
    t = (points + 1) / 2
    value, slope = _inside(t, at)
    inside = ((at.u + t * at.width) * _normal(value) * slope * at.width * weights / 2).sum(dim=(-2, -1))
    # E[exp(z - b) - 1; z > b]; the other tail has the same, and the two E[b; z > b] cancel.
    b = spline.bound
    tail = (0.5 - b).exp() * torch.special.ndtr(1 - b) - torch.special.ndtr(-b)
    return inside + tail * (1 / spline.slope[..., -1] - 1 / spline.slope[..., 0])


def _normal(z: Tensor) -> Tensor:
    return (-0.5 * z.square()).exp() / math.sqrt(2 * math.pi)


class Conditional(nn.Module):
    """p(u | context) of d_y outcomes: z_i = T_i((u_i - a_i) / exp(b_i)), z normal with the correlations L L^T.

    (a, b, T) come from a network of the context, plus parameters that all rows share. Every marginal is exact.

    Row i of the lower triangle L is (l_i1, ..., l_i,i-1, 1) / its length.

    Args:
        d_in: columns of the context.
        draws: of the network's initial weights, and of all others; one generator per run.
    """

    def __init__(self, d_in: int, d_y: int, width: int, bins: int, draws: tuple[Draws, Draws]) -> None:
        super().__init__()
        self.d_y, self.bins, self.each = d_y, bins, 2 + number(bins)
        of_net, of_rest = draws
        self.net = MLP([d_in, width, width, d_y * self.each], of_net, last=SMALL)
        self.shared = uniform(of_rest, (1, d_y * self.each), SMALL / SHARED_RATE)
        self.tied = uniform(of_rest, (1, d_y * (d_y - 1) // 2), SMALL) if d_y > 1 else None

    def _shape(self, context: Tensor) -> tuple[Tensor, Tensor, Knots]:
        """(a, b, T) of rows (R, B, d_in): (R, B, d_y), the same, knots (R, B, d_y, bins + 1)."""
        raw = (self.net(context) + SHARED_RATE * self.shared).unflatten(-1, (self.d_y, self.each))
        location, scale, rest = raw.split([1, 1, self.each - 2], dim=-1)
        log_scale = LOG_SCALE * torch.tanh(scale / LOG_SCALE)
        return location.squeeze(-1), log_scale.squeeze(-1), knots(rest, self.bins, BOUND)

    def log_prob(self, u: Tensor, context: Tensor, noise: Tensor | None = None) -> Tensor:
        """log p(u | context): (R, B, d_y), (R, B, d_in) -> (R, B).

        Args:
            noise: added to u, in units of its scale e^b, without gradient to the scale; (R, B, d_y).
        """
        location, log_scale, shape = self._shape(context)
        if noise is not None:
            u = u + log_scale.detach().exp() * noise
        z, log_slope = forward((u - location) * (-log_scale).exp(), shape)
        return (log_slope - log_scale).sum(dim=-1) + self._copula(z)

    def _copula(self, z: Tensor) -> Tensor:
        """Log density of normal numbers with correlations L L^T: (R, B, d_y) -> (R, B)."""
        free: list[Tensor] = []
        gained = z.new_zeros(z.shape[:2])
        below = iter(() if self.tied is None else self.tied.unbind(-1))
        for one in z.unbind(-1):
            tied = [next(below) for _ in free]
            length = torch.stack([torch.ones_like(one[:, :1]), *tied], dim=-1).square().sum(dim=-1).sqrt()
            own = one * length
            for weight, other in zip(tied, free, strict=True):
                own = own - weight * other
            gained = gained + length.log() - 0.5 * own.square() - 0.5 * math.log(2 * math.pi)
            free.append(own)
        return gained

    def mean(self, context: Tensor) -> Tensor:
        """E[u | context]: (R, B, d_in) -> (R, B, d_y)."""
        location, log_scale, shape = self._shape(context)
        return location + log_scale.exp() * mean(shape)

    def quantiles(self, context: Tensor, levels: Tensor) -> Tensor:
        """Quantiles of each u: (R, B, d_in), (Q,) -> (R, B, d_y, Q)."""
        location, log_scale, shape = self._shape(context)
        z = torch.special.ndtri(levels.to(context)).expand(*location.shape, -1)
        u = inverse(z, Knots(*(each.unsqueeze(-2) for each in shape)))
        return location.unsqueeze(-1) + log_scale.exp().unsqueeze(-1) * u
