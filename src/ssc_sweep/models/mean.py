"""mean: predict the training rows' mean outcome and treatment shares for every row. The floor, as a model."""

from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor

from ssc_sweep.config import StatsMode
from ssc_sweep.models.contract import Batch, Sizes, Solver
from ssc_sweep.models.layers import normal_log_prob, normal_quantiles
from ssc_sweep.models.steady import mean_and_sd


class Mean(Solver):
    """E[Y | x, t] = mean of y, P(T = k | x, y) = share of k among the known treatments; the density is normal."""

    mean: Tensor
    sd: Tensor
    log_share: Tensor
    uses_treatment: ClassVar[bool] = False

    def __init__(self, sizes: Sizes, seeds: Sequence[int], stats: Sequence[StatsMode]) -> None:
        super().__init__(sizes, seeds, stats)
        runs = len(seeds)
        self.register_buffer("mean", torch.zeros(runs, 1, sizes.d_y, dtype=torch.float64))
        self.register_buffer("sd", torch.ones(runs, 1, sizes.d_y, dtype=torch.float64))
        self.register_buffer("log_share", torch.zeros(runs, 1, sizes.treatments, dtype=torch.float64))

    def solve(self, train: Batch) -> None:
        mean, sd = mean_and_sd(train.y.double(), dim=1)
        self.mean.copy_(mean)
        self.sd.copy_(sd)
        counts = torch.stack([(train.t == k).sum(dim=1) for k in range(self.sizes.treatments)], dim=1)
        self.log_share.copy_((counts / counts.sum(dim=1, keepdim=True)).log().unsqueeze(1))

    def outcome_mean(self, x: Tensor, t: Tensor) -> Tensor:
        return self.mean.expand(-1, x.shape[1], -1)

    def treatment_log_prob(self, x: Tensor, y: Tensor) -> Tensor:
        return self.log_share.expand(-1, x.shape[1], -1)

    def outcome_log_prob(self, x: Tensor, t: Tensor, y: Tensor) -> Tensor:
        return normal_log_prob(y, self.mean, self.sd)

    def outcome_quantiles(self, x: Tensor, t: Tensor, levels: Tensor) -> Tensor:
        return normal_quantiles(self.outcome_mean(x, t), self.sd, levels)
