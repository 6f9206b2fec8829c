"""flow: a semi-supervised conditional flow that starts from the linear fit and never sees farther than its rows.

A classifier p(t | x) and a density p(y | x, t) as in flow_ssc, with another answer to each of its faults.

Covariates      phi_j(x) = z_j / (1 + (d_j / reach)^2)^2, z_j standardised by the training rows, d_j how far the value
                lies outside their range, in ranges. A value inside is left alone, one far outside is taken for the mean
                as a gap is, and a column that is constant among the training rows is 0. The networks see
                3 tanh(phi / 3), so that no single column of a row outweighs all others.
Outcome         y_i = m_i(x, t) + s_i u_i: m is the ridge regression on phi(x) and the treatment, s the sd of its
                leave-one-out errors, both solved (models/start.py).
Density         z_i = T((u_i - a) / e^b): T a monotone rational-quadratic spline (models/spline.py), (a, b, T) from a
                network of x and t and a part that all rows share; z is normal with the correlations of a Gaussian
                copula. So every marginal is exact: mean, quantiles and density draw nothing.
Treatment       p(t | x) = softmax(linear(phi(x)) + network), the linear part solved.
Loss            labelled rows: -log p(u | x, t) - log p(t | x);
                hidden ones: -gamma log sum_t p(t | x) p(u | x, t)
Early stopping  a share of the training rows is held out from every step. After each epoch outcome and treatment are
                kept, each for itself, where they explain those rows better than all that was kept before; the first
                that is kept is the start. Predictions come from what is kept.

The networks learn from leave-one-out errors, which are as large as those of rows that the regression has not seen:
otherwise a regression of as many columns as rows would leave them no noise to learn. With gamma = 0 rows whose treatment
is hidden are used nowhere.
"""

import math
from collections.abc import Callable, Sequence
from typing import ClassVar

import numpy as np
import torch
from scipy.special import softmax
from torch import Tensor, nn

from ssc_sweep.config import StatsMode
from ssc_sweep.data.cohort import HIDDEN, Floats, Ints
from ssc_sweep.models import spline
from ssc_sweep.models.contract import Batch, Learner, Loss, Objective, Sizes, mean_where, one_hot
from ssc_sweep.models.layers import FLOOR, MLP, Draws, uniform
from ssc_sweep.models.start import solve_outcome, solve_treatment
from ssc_sweep.models.steady import mean_and_sd, product
from ssc_sweep.probe import Probe, Tells
from ssc_sweep.schema import Count, NotNegative, Positive, Share
from ssc_sweep.streams import stream

# Largest |input| of the networks, in sd.
WIDEST = 3.0
# The spline covers +- this many sd of the base.
BOUND = 4.0
# b, the log scale, stays within +- this.
LOG_SCALE = 5.0
# What all rows share learns this much faster than the weights of the networks.
SHARED_RATE = 10.0
# First weights of the last layers: the start is the linear fit.
SMALL = 1e-3
# Smallest sd of the errors, as a share of the outcome's: less is rounding in single precision.
LEAST_SD = 1e-3
# More rows than these need not be held out; this many are looked at together.
HELD_ROWS, AT_ONCE = 10_000, 2_048


class Reach(nn.Module):
    """phi of the module: rows (R, n, d_x) -> the same shape, finite whatever the rows."""

    low: Tensor
    high: Tensor
    mean: Tensor
    sd: Tensor

    def __init__(self, runs: int, d_x: int, reach: float) -> None:
        super().__init__()
        self.reach = reach
        for name in ("low", "high", "mean", "sd"):
            self.register_buffer(name, torch.zeros(runs, 1, d_x, dtype=torch.float64))

    def fit(self, rows: Tensor) -> None:
        """Take range, mean and sd from these rows, (R, n, d_x); an sd of 0 says constant."""
        rows = rows[:1] if rows.stride(0) == 0 else rows
        low, high = torch.aminmax(rows, dim=1, keepdim=True)
        mean, sd = mean_and_sd(rows, dim=1)
        # The mean of a constant is not exactly the constant: what is left is rounding, not spread.
        constant = high - low <= FLOOR * torch.maximum(low.abs(), high.abs())
        for name, value in (("low", low), ("high", high), ("mean", mean), ("sd", torch.where(constant, 0, sd))):
            getattr(self, name).copy_(value)

    def outside(self, x: Tensor) -> Tensor:
        """How far each value lies outside the range of the training rows, in ranges; 0 for a constant column."""
        return torch.where(self.sd > 0, _outside(x, self.low, self.high), 0)

    def forward(self, x: Tensor) -> Tensor:
        return self._phi(x, self.low, self.high, self.mean, self.sd)

    def of_run(self, run: int, x: Tensor) -> Tensor:
        """phi of one run's rows, (n, d_x)."""
        return self._phi(x, self.low[run], self.high[run], self.mean[run], self.sd[run])

    def _phi(self, x: Tensor, low: Tensor, high: Tensor, mean: Tensor, sd: Tensor) -> Tensor:
        fade = (1 + (_outside(x, low, high) / self.reach).square()).square()
        return torch.where(sd > 0, (x - mean) / sd / fade, 0)


def _outside(x: Tensor, low: Tensor, high: Tensor) -> Tensor:
    return torch.maximum(low - x, x - high).clamp(min=0) / (high - low)


class Conditional(nn.Module):
    """p(u | context) of d_y outcomes: spline flows of one variable each, tied by a Gaussian copula.

    Row i of the lower triangle L of the copula's correlations L L^T is (l_i1, ..., l_i,i-1, 1) / its length.

    Args:
        d_in: columns of the context.
        draws: of the network's first weights, and of all others, one a run.
    """

    def __init__(self, d_in: int, d_y: int, width: int, bins: int, draws: tuple[Draws, Draws]) -> None:
        super().__init__()
        self.d_y, self.bins, self.each = d_y, bins, 2 + spline.number(bins)
        of_net, of_rest = draws
        self.net = MLP([d_in, width, width, d_y * self.each], of_net, last=SMALL)
        self.shared = uniform(of_rest, (1, d_y * self.each), SMALL / SHARED_RATE)
        self.tied = uniform(of_rest, (1, d_y * (d_y - 1) // 2), SMALL) if d_y > 1 else None

    def _shape(self, context: Tensor) -> tuple[Tensor, Tensor, spline.Knots]:
        """(a, b, T) of rows (R, B, d_in): (R, B, d_y), the same, knots (R, B, d_y, bins + 1)."""
        raw = (self.net(context) + SHARED_RATE * self.shared).unflatten(-1, (self.d_y, self.each))
        location, scale, rest = raw.split([1, 1, self.each - 2], dim=-1)
        log_scale = LOG_SCALE * torch.tanh(scale / LOG_SCALE)
        return location.squeeze(-1), log_scale.squeeze(-1), spline.knots(rest, self.bins, BOUND)

    def log_prob(self, u: Tensor, context: Tensor) -> Tensor:
        """log p(u | context): (R, B, d_y), (R, B, d_in) -> (R, B)."""
        location, log_scale, knots = self._shape(context)
        z, log_slope = spline.forward((u - location) * (-log_scale).exp(), knots)
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
        location, log_scale, knots = self._shape(context)
        return location + log_scale.exp() * spline.mean(knots)

    def quantiles(self, context: Tensor, levels: Tensor) -> Tensor:
        """Quantiles of each u: (R, B, d_in), (Q,) -> (R, B, d_y, Q)."""
        location, log_scale, knots = self._shape(context)
        z = torch.special.ndtri(levels.to(context)).expand(*location.shape, -1)
        u = spline.inverse(z, spline.Knots(*(each.unsqueeze(-2) for each in knots)))
        return location.unsqueeze(-1) + log_scale.exp().unsqueeze(-1) * u


class Flow(Learner):
    """See the module.

    Parts of its loss, for the probes: ce, the mean of -log p(t | x); by row ll_y, the log density of u, over the mixture
    where the treatment is hidden. Rows that are held out count in the second alone.

    Args:
        width: hidden units of both layers of both networks.
        bins: of the spline.
        gamma: weight of a row whose treatment is hidden; 0: such rows are used nowhere.
        held_out: share of the training rows that choose what is kept.
        reach: how far outside the range of the training rows, in ranges, a value counts a quarter.
    """

    every_treatment = True
    coefficient: Tensor
    intercept: Tensor
    sd: Tensor
    t_coefficient: Tensor
    t_intercept: Tensor
    probes: ClassVar[tuple[Probe, ...]] = (
        Probe("held_ll_y", "log density of the rows held out", "nats"),
        Probe("held_ce", "cross entropy of the treatment, rows held out", "nats"),
        Probe("kept_outcome", "epoch whose outcome is kept; 0: the start"),
        Probe("kept_treatment", "epoch whose treatment is kept; 0: the start"),
        Probe("outside_val", "farthest value of a validation row, in ranges of the training rows"),
        Probe("largest_z_train", "largest |z| of a training row", "sd", Tells.REACH_TRAIN),
        Probe("largest_z_val", "largest |z| of a validation row", "sd", Tells.REACH_VAL),
    )

    def __init__(
        self,
        sizes: Sizes,
        seeds: Sequence[int],
        stats: Sequence[StatsMode],
        width: Count,
        bins: Count,
        gamma: NotNegative,
        held_out: Share,
        reach: Positive,
    ) -> None:
        super().__init__(sizes, seeds, stats)
        (d_x, d_y, k), runs = sizes, len(seeds)
        self.gamma, self.held_out = gamma, held_out
        self.reach = Reach(runs, d_x, reach)
        shapes = {
            "coefficient": (runs, d_x, d_y),
            "intercept": (runs, k, d_y),
            "sd": (runs, 1, d_y),
            "t_coefficient": (runs, d_x, k),
            "t_intercept": (runs, 1, k),
        }
        for name, shape in shapes.items():
            self.register_buffer(name, torch.zeros(shape, dtype=torch.float64))

        def draws(name: str) -> Draws:
            return [stream(seed, f"init.{name}") for seed in seeds]

        def outcome() -> Conditional:
            return Conditional(d_x + k, d_y, width, bins, (draws("outcome"), draws("shared")))

        def treatment() -> MLP:
            return MLP([d_x, width, width, k], draws("treatment"), last=SMALL)

        self.outcome, self.kept_outcome = outcome(), outcome()
        self.treatment, self.kept_treatment = treatment(), treatment()
        for kept in (self.kept_outcome, self.kept_treatment):
            kept.requires_grad_(False)
        self.epoch, self.epoch_ends = 0, False

    def start(self, train: Batch) -> None:
        """Solve the linear fit of every run, and draw the rows that are held out."""
        self.reach.fit(train.x)
        rows, k, d_y = train.x.shape[1], self.sizes.treatments, self.sizes.d_y
        # Runs with the same rows and treatments have the same regression.
        alike = not train.any_hidden and all(each.stride(0) == 0 for each in (train.x, train.t, train.y))
        self.u = train.y.new_empty(1 if alike else self.runs, rows, k, d_y).expand(self.runs, -1, -1, -1)
        self.held = torch.zeros(self.runs, rows, dtype=torch.bool, device=train.x.device)
        held_rows = min(round(self.held_out * rows), HELD_ROWS, rows - k)
        self.held_rows = train.t.new_empty(self.runs, max(held_rows, 0))
        for run, seed in enumerate(self.seeds):
            x = self.reach.of_run(run, train.x[run]).double().cpu().numpy()
            t, y = train.t[run].cpu().numpy(), train.y[run].double().cpu().numpy()
            chosen = _held(stream(seed, "held_out").permutation(rows), t, k, self.held_rows.shape[1])
            self.held_rows[run] = torch.from_numpy(chosen)
            self.held[run, self.held_rows[run]] = True
            self._solve(run, x, t, y, np.isin(np.arange(rows), chosen), bool(run and alike))
        self.held_x = self._take(self.reach, train.x)
        self.held_t, self.held_u = (self._take(lambda each: each, each) for each in (train.t, self.u))
        self.best = [score.fill_(-math.inf) for score in train.y.new_empty(2, self.runs).unbind(0)]
        self.held_score, self.kept_epoch = train.y.new_zeros(2, self.runs), train.y.new_zeros(2, self.runs)
        self._keep()

    def _solve(self, run: int, x: Floats, t: Ints, y: Floats, held: np.ndarray, known: bool) -> None:
        """Solve one run; the outcome is that of the first run where it is `known`."""
        seen = t != HIDDEN
        w, c = solve_treatment(x[seen], t[seen], self.sizes.treatments, held[seen])
        self.t_coefficient[run], self.t_intercept[run, 0] = torch.from_numpy(w), torch.from_numpy(c)
        if known:
            for each in (self.coefficient, self.intercept, self.sd):
                each[run] = each[0]
            return
        p = np.where(seen[:, None], np.eye(self.sizes.treatments)[t], softmax(x @ w + c, axis=1))
        found = solve_outcome(x, p, y, np.where(seen, 1.0, self.gamma))
        error = found.left_out[np.arange(len(t)), t][seen]
        sd = np.maximum(np.sqrt((error**2).mean(axis=0)), np.maximum(LEAST_SD * y.std(axis=0), FLOOR))
        self.coefficient[run], self.intercept[run] = (
            torch.from_numpy(each) for each in (found.coefficient, found.intercept)
        )
        self.sd[run, 0] = torch.from_numpy(sd)
        self.u[run] = torch.from_numpy(found.left_out / sd)

    def _take(self, change: Callable[[Tensor], Tensor], values: Tensor) -> Tensor:
        """What `change` makes of the rows that are held out: (R, n, ...) -> (R, m, ...)."""
        return change(values[torch.arange(self.runs, device=values.device).unsqueeze(1), self.held_rows])

    def before_step(self, batch: Batch) -> None:
        self.epoch_ends = batch.last

    def after_step(self) -> None:
        if self.epoch_ends:
            self.epoch += 1
            self._keep()

    def objectives(self) -> list[Objective]:
        return [Objective("likelihood", [*self.outcome.parameters(), *self.treatment.parameters()], self.loss)]

    def loss(self, batch: Batch) -> Loss:
        """The loss of the module's docstring, per run: the mean over the rows of the batch that are not held out."""
        assert batch.row is not None
        runs = torch.arange(self.runs, device=batch.row.device).unsqueeze(1)
        learns = ~self.held.gather(1, batch.row)
        ll_y, log_p = self._explained(self.reach(batch.x), batch.t, self.u[runs, batch.row], batch.any_hidden)
        seen = batch.t != HIDDEN
        total = -mean_where(torch.where(seen, 1.0, self.gamma) * (ll_y + log_p), learns)
        ce = -mean_where(log_p.detach(), learns & seen)
        return Loss(total, {"ce": ce, "ll_y": ll_y.detach()})

    def _explained(self, x: Tensor, t: Tensor, u: Tensor, any_hidden: bool) -> tuple[Tensor, Tensor]:
        """(log p(u | x, t), log p(t | x)) by the networks that learn, (R, B) each.

        Where the treatment is hidden: log p(u | x), and 0.

        Args:
            x: phi, (R, B, d_x).
            u: errors under every treatment, (R, B, K, d_y).
        """
        place = t.clamp(min=0).unsqueeze(-1)
        every_p = self._log_p(self.treatment, x)
        log_p = every_p.gather(-1, place).squeeze(-1)
        if not any_hidden:
            own = u.gather(2, place.unsqueeze(-1).expand(-1, -1, 1, u.shape[-1])).squeeze(2)
            return self.outcome.log_prob(own, self._context(x, t)), log_p
        every = self._every_ll_y(self.outcome, x, u)
        seen, own = t != HIDDEN, every.gather(-1, place).squeeze(-1)
        return torch.where(seen, own, (every_p + every).logsumexp(dim=-1)), torch.where(seen, log_p, 0)

    @torch.no_grad()
    def _keep(self) -> None:
        """Keep, for each run, what explains the rows that are held out better than all before."""
        scores = self.held_score.zero_()
        parts = zip(*(each.split(AT_ONCE, 1) for each in (self.held_x, self.held_t, self.held_u)), strict=True)
        for x, t, u in parts:
            ll_y, log_p = self._explained(x, t, u, any_hidden=bool((t == HIDDEN).any()))
            scores[0] += (torch.where(t != HIDDEN, 1.0, self.gamma) * ll_y).sum(dim=1)
            scores[1] += log_p.sum(dim=1)
        both = (self.outcome, self.kept_outcome), (self.treatment, self.kept_treatment)
        for i, (learning, kept) in enumerate(both):
            better = scores[i] > self.best[i]
            self.best[i] = torch.where(better, scores[i], self.best[i])
            self.kept_epoch[i] = torch.where(better, self.epoch, self.kept_epoch[i])
            for old, new in zip(kept.parameters(), learning.parameters(), strict=True):
                old.copy_(torch.where(better.view(-1, *[1] * (new.ndim - 1)), new, old))

    def _log_p(self, network: MLP, x: Tensor) -> Tensor:
        """log p(t | x) of phi: (R, B, d_x) -> (R, B, K)."""
        return (product(self.t_intercept, x, self.t_coefficient) + network(_seen(x))).log_softmax(dim=-1)

    def _context(self, x: Tensor, t: Tensor) -> Tensor:
        """What the density sees of phi and treatment: (R, B, d_x + K)."""
        return torch.cat([_seen(x), one_hot(t.clamp(min=0), self.sizes.treatments, x.dtype)], dim=-1)

    def _every_ll_y(self, network: Conditional, x: Tensor, u: Tensor) -> Tensor:
        """log p(u_k | x, k) for every treatment: phi (R, B, d_x), (R, B, K, d_y) -> (R, B, K)."""
        runs, rows, k, _ = u.shape
        t = torch.arange(k, device=x.device).repeat_interleave(rows).expand(runs, -1)
        found = network.log_prob(u.transpose(1, 2).flatten(1, 2), self._context(x.repeat(1, k, 1), t))
        return found.unflatten(1, (k, rows)).transpose(1, 2)

    def _line(self, x: Tensor) -> Tensor:
        """m of phi under every treatment: (R, B, d_x) -> (R, B, K, d_y)."""
        return product(self.coefficient.new_zeros(1, 1, 1), x, self.coefficient).unsqueeze(2) + self.intercept.unsqueeze(1)

    def _line_at(self, x: Tensor, t: Tensor) -> Tensor:
        """m of phi at the rows' own treatments: (R, B, d_x), (R, B) -> (R, B, d_y)."""
        line = self._line(x)
        return line.gather(2, t[..., None, None].expand(-1, -1, 1, line.shape[-1])).squeeze(2)

    def outcome_mean(self, x: Tensor, t: Tensor) -> Tensor:
        x = self.reach(x)
        return self._line_at(x, t) + self.sd * self.kept_outcome.mean(self._context(x, t))

    def outcome_quantiles(self, x: Tensor, t: Tensor, levels: Tensor) -> Tensor:
        x = self.reach(x)
        u = self.kept_outcome.quantiles(self._context(x, t), levels)
        return self._line_at(x, t).unsqueeze(-1) + self.sd.unsqueeze(-1) * u

    def outcome_log_prob(self, x: Tensor, t: Tensor, y: Tensor) -> Tensor:
        x = self.reach(x)
        u = (y - self._line_at(x, t)) / self.sd
        return self.kept_outcome.log_prob(u, self._context(x, t)) - self.sd.log().sum(dim=-1)

    def treatment_log_prob(self, x: Tensor, y: Tensor) -> Tensor:
        x = self.reach(x)
        u = (y.unsqueeze(2) - self._line(x)) / self.sd.unsqueeze(2)
        return (self._log_p(self.kept_treatment, x) + self._every_ll_y(self.kept_outcome, x, u)).log_softmax(dim=-1)

    def probe(self, some: Batch, train: Batch, val: Batch) -> dict[str, Tensor]:
        """What the held-out rows say after the last epoch, and how far rows lie from those that train."""
        rows = max(self.held_rows.shape[1], 1)
        found = {"held_ll_y": self.held_score[0] / rows, "held_ce": -self.held_score[1] / rows}
        found |= {"kept_outcome": self.kept_epoch[0].clone(), "kept_treatment": self.kept_epoch[1].clone()}
        found["outside_val"] = self.reach.outside(val.x).amax(dim=(1, 2))
        for name, rows_ in (("train", train), ("val", val)):
            found[f"largest_z_{name}"] = self.reach(rows_.x).abs().amax(dim=(1, 2))
        return found


def _seen(x: Tensor) -> Tensor:
    """What the networks see of phi."""
    return WIDEST * torch.tanh(x / WIDEST)


def _held(order: Ints, t: Ints, treatments: int, count: int) -> Ints:
    """The first `count` rows of this order, but for one of each visible treatment, which has to stay: positions."""
    t = t[order]
    stay = [int(np.argmax(t == k)) for k in range(treatments)]
    return np.delete(order, stay)[:count]
