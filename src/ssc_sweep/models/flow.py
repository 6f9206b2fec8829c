"""flow: a semi-supervised conditional flow that starts from the linear fit and does not extrapolate beyond its rows.

A classifier p(t | x) and a density p(y | x, t) as in flow_ssc, with a remedy for each of its faults.

Covariates      phi_j(x) = z_j / (1 + (d_j / reach)^2)^2, z_j standardised by the training rows, d_j how far the value
                is outside their range, in ranges. A value inside is unchanged, one far outside becomes the mean, like a
                missing value, and a column that is constant among the training rows is 0. The networks see
                3 tanh(phi / 3), so that no single column of a row outweighs all others.
Outcome         y_i = m_i(x, t) + s_i u_i: m is the ridge regression on phi(x), the linear p(t | x) and the treatment,
                s the sd of its leave-one-out errors, both solved (models/start.py).
Density         z_i = T((u_i - a) / e^b): T a monotone rational-quadratic spline (models/spline.py), (a, b, T) from a
                network of x and t plus a part that all rows share; z is normal with the correlations of a Gaussian
                copula. So every marginal is exact: mean, quantiles and density need no sampling.
Treatment       p(t | x) = softmax(linear(phi(x)) + network), the linear part solved.
Loss            labelled rows: -log p(u | x, t) - log p(t | x);
                hidden ones: -gamma log sum_t p(t | x) p(u | x, t)
Noise           in a step, normal noise of sd noise n^(-1/5) is added to phi, and times e^b to u, which smooths the
                density in both (Rothfuss et al. 2019, arXiv:1907.08982); n is the number of rows used in steps.
Early stopping  a share of the training rows is held out from every step. After each epoch the average of the recent
                weights (Shamir & Zhang 2013, polynomial-decay averaging) is kept if it explains those rows better than
                any average before, separately for outcome and treatment; the start is kept first. Predictions come
                from the weights kept.

The networks learn from leave-one-out errors, which are as large as on rows that the regression has not seen: otherwise
a regression with as many columns as rows would leave them no noise to learn. With gamma = 0 nothing is learnt from rows
whose treatment is hidden, except that the ranges of the covariates are those of all rows.
"""

import math
from collections.abc import Sequence
from typing import ClassVar

import numpy as np
import torch
from scipy.special import softmax
from torch import Tensor, nn

from ssc_sweep.config import StatsMode
from ssc_sweep.data.cohort import HIDDEN, Floats, Ints
from ssc_sweep.models.contract import LARGEST_Z, Batch, Learner, Loss, Objective, Sizes, largest_z, mean_where, one_hot
from ssc_sweep.models.layers import FLOOR, MLP, Draws, Noise
from ssc_sweep.models.spline import SMALL, Conditional
from ssc_sweep.models.start import solve_outcome, solve_treatment
from ssc_sweep.models.steady import mean_and_sd, once, product
from ssc_sweep.probe import Probe
from ssc_sweep.schema import Count, NotNegative, Positive, Share
from ssc_sweep.streams import stream

# Largest |input| of the networks, in sd.
WIDEST = 3.0
# The average of the weights covers about the last 1/RECENT of all steps.
RECENT = 3
# Smallest sd of the errors, as a share of the outcome's: less is rounding error in single precision.
LEAST_SD = 1e-3
# Most rows held out; most rows evaluated at once.
HELD_ROWS, AT_ONCE = 10_000, 256


class Reach(nn.Module):
    """phi of the module: rows (R, n, d_x) -> the same shape, always finite."""

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
        """Take range, mean and sd from these rows, (R, n, d_x); an sd of 0 means constant."""
        rows = once(rows)
        low, high = torch.aminmax(rows, dim=1, keepdim=True)
        mean, sd = mean_and_sd(rows, dim=1)
        # The mean of a constant is not exactly the constant: the difference is rounding, not spread.
        constant = high - low <= FLOOR * torch.maximum(low.abs(), high.abs())
        for name, value in (("low", low), ("high", high), ("mean", mean), ("sd", torch.where(constant, 0, sd))):
            getattr(self, name).copy_(value)

    def outside(self, x: Tensor) -> Tensor:
        """Return how far each value is outside the range of the training rows, in ranges; 0 for a constant column."""
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


class Flow(Learner):
    """See the module.

    Parts of its loss, for the probes: ce, the mean of -log p(t | x) over the rows not held out; and for every row
    ll_y, the log density of u, of the mixture if the treatment is hidden.

    Args:
        width: hidden units of both layers of both networks.
        bins: of the spline.
        gamma: weight of a row whose treatment is hidden; 0: nothing is learnt from it.
        noise: see the module.
        held_out: share of the training rows that decide which weights are kept.
        reach: distance outside the range of the training rows, in ranges, at which a value counts a quarter.
    """

    every_treatment = True
    coefficient: Tensor
    chance: Tensor
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
        *LARGEST_Z,
    )

    def __init__(
        self,
        sizes: Sizes,
        seeds: Sequence[int],
        stats: Sequence[StatsMode],
        width: Count,
        bins: Count,
        gamma: NotNegative,
        noise: NotNegative,
        held_out: Share,
        reach: Positive,
    ) -> None:
        super().__init__(sizes, seeds, stats)
        (d_x, d_y, k), runs = sizes, len(seeds)
        self.gamma, self.noise, self.held_out = gamma, noise, held_out
        self.reach = Reach(runs, d_x, reach)
        shapes = {
            "coefficient": (runs, d_x, d_y),
            "chance": (runs, k, d_y),
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

        # Networks that learn, their averages, and the ones kept.
        self.outcome, self.mean_outcome, self.kept_outcome = outcome(), outcome(), outcome()
        self.treatment, self.mean_treatment, self.kept_treatment = treatment(), treatment(), treatment()
        for idle in (self.mean_outcome, self.kept_outcome, self.mean_treatment, self.kept_treatment):
            idle.requires_grad_(False)
        self.step, self.epoch, self.epoch_ends = 0, 0, False

    def start(self, train: Batch) -> None:
        """Solve the linear fit of every run, and draw the rows that are held out."""
        self.reach.fit(train.x)
        rows, k, d_y = train.x.shape[1], self.sizes.treatments, self.sizes.d_y
        self.u = train.y.new_empty(self.runs, rows, k, d_y)
        count = max(min(round(self.held_out * rows), HELD_ROWS, rows - k), 0)
        held = train.t.new_empty(self.runs, count)
        for run, seed in enumerate(self.seeds):
            t = train.t[run].cpu().numpy()
            fit, held_out = _parts(stream(seed, "held_out").permutation(rows), t, k, count)
            held[run] = torch.from_numpy(held_out)
            x = self.reach.of_run(run, train.x[run]).double().cpu().numpy()
            self._solve(run, x, t, train.y[run].double().cpu().numpy(), fit, held_out)
        runs = torch.arange(self.runs, device=held.device).unsqueeze(1)
        self.learns = torch.ones_like(train.t, dtype=torch.bool).scatter(1, held, False)
        self.held = self.reach(train.x[runs, held]), train.t[runs, held], self.u[runs, held]
        self.any_hidden = train.any_hidden
        self.jitter = Noise(self.seeds, "noise", self.noise * (rows - count) ** -0.2)
        # A constant column stays constant.
        self.moves = nn.functional.pad((self.reach.sd > 0).to(train.x), (0, d_y), value=1.0)
        # For outcome and treatment: how well the rows held out are explained, now and at best, and the epoch kept.
        self.score, self.kept_epoch = train.y.new_zeros(2, self.runs), train.y.new_zeros(2, self.runs)
        self.best = torch.full_like(self.score, -math.inf)
        self._keep()

    def _solve(self, run: int, x: Floats, t: Ints, y: Floats, fit: Ints, held: Ints) -> None:
        """Solve the linear fit of one run's rows: phi (n, d_x), treatments (n,), outcomes (n, d_y), in any order."""
        known, judges = (rows[t[rows] != HIDDEN] for rows in (fit, held))
        w, c = solve_treatment(x[known], t[known], x[judges], t[judges], self.sizes.treatments)
        order = np.concatenate([fit, held])
        found = solve_outcome(x[order], softmax(x[order] @ w + c, axis=1), t[order], y[order], self.gamma)
        seen = t[order] != HIDDEN
        error = found.left_out[np.arange(len(order)), t[order]][seen]
        sd = np.maximum(np.sqrt((error**2).mean(axis=0)), np.maximum(LEAST_SD * y.std(axis=0), FLOOR))
        solved = {"t_coefficient": w, "t_intercept": c[None], "sd": sd[None]}
        solved |= {name: getattr(found, name) for name in ("coefficient", "chance", "intercept")}
        for name, values in solved.items():
            getattr(self, name)[run] = torch.from_numpy(values)
        self.u[run, torch.from_numpy(order)] = torch.from_numpy(found.left_out / sd).to(self.u)

    def before_step(self, batch: Batch) -> None:
        self.epoch_ends = batch.last

    @torch.no_grad()
    def after_step(self) -> None:
        self.step += 1
        learning: list[Tensor] = [*self.outcome.parameters(), *self.treatment.parameters()]
        means: list[Tensor] = [*self.mean_outcome.parameters(), *self.mean_treatment.parameters()]
        torch._foreach_lerp_(means, learning, (RECENT + 1) / (self.step + RECENT))
        if self.epoch_ends:
            self.epoch += 1
            self._keep()

    def objectives(self) -> list[Objective]:
        return [Objective("likelihood", [*self.outcome.parameters(), *self.treatment.parameters()], self.loss)]

    def loss(self, batch: Batch) -> Loss:
        """The loss of the module's docstring, per run: the mean over the rows of the batch that are not held out."""
        assert batch.row is not None
        runs = torch.arange(self.runs, device=batch.row.device).unsqueeze(1)
        learns = self.learns.gather(1, batch.row)
        x, u = self.reach(batch.x), self.u[runs, batch.row]
        (noise,) = self.jitter.add(x.new_zeros(*x.shape[:2], sum(self.sizes[:2])), self.moves, copies=1)
        x, noise = x + noise[..., : x.shape[-1]], noise[..., x.shape[-1] :]
        ll_y, log_p = self._explained(self.outcome, self.treatment, x, batch.t, u, batch.any_hidden, noise)
        seen = batch.t != HIDDEN
        total = -mean_where(torch.where(seen, 1.0, self.gamma) * (ll_y + log_p), learns)
        ce = -mean_where(log_p.detach(), learns & seen)
        return Loss(total, {"ce": ce, "ll_y": ll_y.detach()})

    def _explained(
        self,
        outcome: Conditional,
        treatment: MLP,
        x: Tensor,
        t: Tensor,
        u: Tensor,
        any_hidden: bool,
        noise: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """(log p(u | x, t), log p(t | x)) by these networks, (R, B) each.

        If the treatment is hidden: log p(u | x), and 0.

        Args:
            x: phi, (R, B, d_x).
            u: errors under every treatment, (R, B, K, d_y).
            noise: of u, in units of e^b, (R, B, d_y).
        """
        place = t.clamp(min=0).unsqueeze(-1)
        every_p = self._log_p(treatment, x)
        log_p = every_p.gather(-1, place).squeeze(-1)
        if not any_hidden:
            own = u.gather(2, place.unsqueeze(-1).expand(-1, -1, 1, u.shape[-1])).squeeze(2)
            return outcome.log_prob(own, self._context(x, t), noise), log_p
        every = self._every_ll_y(outcome, x, u, noise)
        seen, own = t != HIDDEN, every.gather(-1, place).squeeze(-1)
        return torch.where(seen, own, (every_p + every).logsumexp(dim=-1)), torch.where(seen, log_p, 0)

    @torch.no_grad()
    def _keep(self) -> None:
        """Keep, for each run, the weights that explain the rows held out better than all before."""
        self.score.zero_()
        for x, t, u in zip(*(each.split(AT_ONCE, 1) for each in self.held), strict=True):
            ll_y, log_p = self._explained(self.mean_outcome, self.mean_treatment, x, t, u, self.any_hidden)
            self.score[0] += (torch.where(t != HIDDEN, 1.0, self.gamma) * ll_y).sum(dim=1)
            self.score[1] += log_p.sum(dim=1)
        better = self.score > self.best
        self.best = torch.where(better, self.score, self.best)
        self.kept_epoch = torch.where(better, self.epoch, self.kept_epoch)
        both = (self.mean_outcome, self.kept_outcome), (self.mean_treatment, self.kept_treatment)
        for mine, (now, kept) in zip(better, both, strict=True):
            for old, new in zip(kept.parameters(), now.parameters(), strict=True):
                old.copy_(torch.where(mine.view(-1, *[1] * (new.ndim - 1)), new, old))

    def _logits(self, x: Tensor) -> Tensor:
        """The linear part of log p(t | x) of phi: (R, B, d_x) -> (R, B, K)."""
        return product(self.t_intercept, x, self.t_coefficient)

    def _log_p(self, network: MLP, x: Tensor) -> Tensor:
        """log p(t | x) of phi: (R, B, d_x) -> (R, B, K)."""
        return (self._logits(x) + network(_seen(x))).log_softmax(dim=-1)

    def _context(self, x: Tensor, t: Tensor) -> Tensor:
        """Return the context of the density from phi and treatment: (R, B, d_x + K)."""
        return torch.cat([_seen(x), one_hot(t.clamp(min=0), self.sizes.treatments, x.dtype)], dim=-1)

    def _every_ll_y(self, network: Conditional, x: Tensor, u: Tensor, noise: Tensor | None = None) -> Tensor:
        """log p(u_k | x, k) for every treatment: phi (R, B, d_x), (R, B, K, d_y) -> (R, B, K)."""
        runs, rows, k, _ = u.shape
        t = torch.arange(k, device=x.device).repeat_interleave(rows).expand(runs, -1)
        noise = None if noise is None else noise.repeat(1, k, 1)
        found = network.log_prob(u.transpose(1, 2).flatten(1, 2), self._context(x.repeat(1, k, 1), t), noise)
        return found.unflatten(1, (k, rows)).transpose(1, 2)

    def _line(self, x: Tensor) -> Tensor:
        """m of phi under every treatment: (R, B, d_x) -> (R, B, K, d_y)."""
        shared = product(self.coefficient.new_zeros(1, 1, 1), x, self.coefficient)
        shared = product(shared, self._logits(x).softmax(dim=-1), self.chance)
        return shared.unsqueeze(2) + self.intercept.unsqueeze(1)

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
        """Return how well held-out rows are explained after the last epoch, and how far rows are from training rows."""
        seen = (self.held[1] != HIDDEN).sum(dim=1)
        rows = seen + self.gamma * (self.held[1].shape[1] - seen)
        found = {"held_ll_y": self.score[0] / rows.clamp(min=1), "held_ce": -self.score[1] / seen.clamp(min=1)}
        found |= {"kept_outcome": self.kept_epoch[0], "kept_treatment": self.kept_epoch[1]}
        found["outside_val"] = self.reach.outside(val.x).amax(dim=(1, 2))
        return found | largest_z(self.reach, train, val)


def _seen(x: Tensor) -> Tensor:
    """Return phi as the networks see it."""
    return WIDEST * torch.tanh(x / WIDEST)


def _parts(order: Ints, t: Ints, treatments: int, held: int) -> tuple[Ints, Ints]:
    """Return positions of (rows that train, rows held out), drawn by this order of all rows.

    The first visible row of each treatment stays among those that train.
    """
    stay = [int(np.argmax(t[order] == k)) for k in range(treatments)]
    rest = np.delete(order, stay)
    return np.concatenate([order[stay], rest[held:]]), rest[:held]
