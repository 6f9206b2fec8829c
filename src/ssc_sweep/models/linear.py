"""linear: ridge regression of the outcome for each treatment, logistic regression of the treatment; both solved.

    E[Y | x, t=k] = a_k + b_k x,   minimising |y - a - b x|^2 + l2 |b|^2 over the rows of treatment k
    P(T | x, y)   = softmax(c + W (x, y / sd y)),   minimising sum of -log P(t) + l2_treatment / 2 |W|^2

With l2=0 the first is least squares (of smallest norm); with l2=null, l2 is the one of 21 values between 1e-6 and 1e4
with the least leave-one-out error. The density is normal around the mean; its sd is that of the leave-one-out errors,
for least squares sqrt(RSS / (n - rank)). Rows whose treatment is hidden are not used. scikit-learn solves both.
"""

from collections.abc import Sequence
from typing import ClassVar

import numpy as np
import torch
from sklearn.linear_model import LinearRegression, LogisticRegression, RidgeCV
from torch import Tensor

from ssc_sweep.config import StatsMode
from ssc_sweep.data.cohort import Floats, Ints
from ssc_sweep.models.contract import Batch, Sizes, Solver
from ssc_sweep.models.layers import normal_log_prob, normal_quantiles
from ssc_sweep.models.start import scores_of
from ssc_sweep.models.steady import product
from ssc_sweep.probe import Probe
from ssc_sweep.schema import NotNegative, Positive

L2 = np.logspace(-6, 4, 21)
# Smallest sd, relative to the outcome's and absolute: an outcome that is a sum of covariates has no error.
LEAST_SD = 1e-9


class Linear(Solver):
    """See the module.

    Args:
        l2: penalty of the outcome's coefficients; 0: least squares; None: chosen by leave-one-out error.
        l2_treatment: penalty of the treatment's coefficients.
    """

    coefficient: Tensor
    intercept: Tensor
    sd: Tensor
    t_coefficient: Tensor
    t_intercept: Tensor
    probes: ClassVar[tuple[Probe, ...]] = (
        Probe("largest_coefficient", "largest coefficient of the outcome, per sd of a column", "y"),
        Probe("residual_sd", "sd of the outcome around its mean, largest over treatments", "y"),
    )

    def __init__(
        self,
        sizes: Sizes,
        seeds: Sequence[int],
        stats: Sequence[StatsMode],
        l2: NotNegative | None,
        l2_treatment: Positive,
    ) -> None:
        super().__init__(sizes, seeds, stats)
        self.l2, self.l2_treatment = l2, l2_treatment
        (d_x, d_y, k), runs = sizes, len(seeds)
        shapes = {
            "coefficient": (runs, k, d_x, d_y),
            "intercept": (runs, k, 1, d_y),
            "sd": (runs, k, d_y),
            "t_coefficient": (runs, d_x + d_y, k),
            "t_intercept": (runs, 1, k),
        }
        for name, shape in shapes.items():
            self.register_buffer(name, torch.zeros(shape, dtype=torch.float64))

    def solve(self, train: Batch) -> None:
        x, t, y = (tensor.double().cpu().numpy() for tensor in (train.x, train.t, train.y))
        alike = all(tensor.stride(0) == 0 for tensor in (train.x, train.t, train.y))
        for run in range(self.runs):
            if run and alike:
                for buffer in self.buffers():
                    buffer[run] = buffer[0]
                continue
            seen = t[run] >= 0
            self._fit(run, x[run][seen], t[run][seen].astype(np.int64), y[run][seen])

    def _fit(self, run: int, x: Floats, t: Ints, y: Floats) -> None:
        for k in range(self.sizes.treatments):
            for i in range(self.sizes.d_y):
                b, a, sd = solve_outcome(x[t == k], y[t == k, i], self.l2)
                self.coefficient[run, k, :, i] = torch.from_numpy(b)
                self.intercept[run, k, 0, i] = a
                self.sd[run, k, i] = max(sd, LEAST_SD * float(y[:, i].std()), LEAST_SD)
        spread = np.where(y.std(axis=0) > 0, y.std(axis=0), 1.0)
        w, c = solve_treatment(np.concatenate([x, y / spread], axis=1), t, self.sizes.treatments, self.l2_treatment)
        w[x.shape[1] :] /= spread[:, None]
        self.t_coefficient[run] = torch.from_numpy(w)
        self.t_intercept[run, 0] = torch.from_numpy(c)

    def _every_mean(self, x: Tensor) -> Tensor:
        """E[Y | x, k] for every treatment k: (R, B, K, d_y)."""
        # One product for all treatments: (R, K, d, d_y) -> (R, d, K d_y).
        coefficient, intercept = (each.transpose(1, 2).flatten(2) for each in (self.coefficient, self.intercept))
        return product(intercept, x, coefficient).unflatten(-1, (self.sizes.treatments, self.sizes.d_y))

    def _at(self, values: Tensor, t: Tensor) -> Tensor:
        """(R, B, K, d_y) -> (R, B, d_y), at the rows' own treatments."""
        return values.gather(2, t[..., None, None].expand(-1, -1, 1, values.shape[-1])).squeeze(2)

    def _sd(self, t: Tensor) -> Tensor:
        return self._at(self.sd.unsqueeze(1).expand(-1, t.shape[1], -1, -1), t)

    def outcome_mean(self, x: Tensor, t: Tensor) -> Tensor:
        return self._at(self._every_mean(x), t)

    def treatment_log_prob(self, x: Tensor, y: Tensor) -> Tensor:
        return product(self.t_intercept, torch.cat([x, y], dim=-1), self.t_coefficient).log_softmax(dim=-1)

    def outcome_log_prob(self, x: Tensor, t: Tensor, y: Tensor) -> Tensor:
        return normal_log_prob(y, self.outcome_mean(x, t), self._sd(t))

    def outcome_quantiles(self, x: Tensor, t: Tensor, levels: Tensor) -> Tensor:
        return normal_quantiles(self.outcome_mean(x, t), self._sd(t), levels)

    def probe(self, some: Batch, train: Batch, val: Batch) -> dict[str, Tensor]:
        return {
            "largest_coefficient": self.coefficient.abs().amax(dim=(1, 2, 3)),
            "residual_sd": self.sd.amax(dim=(1, 2)),
        }


def solve_outcome(x: Floats, y: Floats, l2: float | None) -> tuple[Floats, float, float]:
    """(b, a, sd) of one outcome under one treatment: (n, d_x), (n,) -> (d_x,), a number, a number."""
    if l2 == 0:
        plain = LinearRegression().fit(x, y)
        freedom = len(y) - 1 - np.linalg.matrix_rank(x - x.mean(axis=0))
        error = ((y - plain.predict(x)) ** 2).sum()
        return plain.coef_, float(plain.intercept_), float(np.sqrt(error / freedom)) if freedom > 0 else 0.0
    ridge = RidgeCV(alphas=L2 if l2 is None else [l2]).fit(x, y)
    # best_score_ is minus the mean squared leave-one-out error; rounding may make an error of 0 negative.
    return ridge.coef_, float(ridge.intercept_), float(np.sqrt(max(-ridge.best_score_, 0.0)))


def solve_treatment(x: Floats, t: Ints, treatments: int, l2: float) -> tuple[Floats, Floats]:
    """(W, c) of a softmax regression: (n, d), (n,) -> (d, K), (K,)."""
    fitted = LogisticRegression(C=1 / l2, solver="newton-cholesky", max_iter=1000).fit(x, t)
    return scores_of(fitted, treatments)
