"""Models that are no part of the package, as a user writes them."""

from typing import Annotated, Any

import torch
from pydantic import Field
from torch import Tensor, nn

from ssc_sweep.models.contract import Batch, Learner, Loss, Objective, Sizes, mean_where, one_hot
from ssc_sweep.models.layers import MLP
from ssc_sweep.streams import stream


class Ordinary(nn.Module):
    """Knows nothing of runs. Behaves differently while it trains: Dropout, BatchNorm; one layer is never used."""

    def __init__(self, d_x: int, d_y: int, treatments: int, width: Annotated[int, Field(ge=1)] = 16) -> None:
        super().__init__()
        self.treatments = treatments
        hidden = [nn.Linear(d_x + treatments, width), nn.BatchNorm1d(width), nn.ReLU(), nn.Dropout(0.2)]
        self.outcome = nn.Sequential(*hidden, nn.Linear(width, d_y))
        self.treatment = nn.Linear(d_x + d_y, treatments)
        self.idle = nn.Linear(2, 2)

    def loss(self, x: Tensor, t: Tensor, y: Tensor) -> Tensor:
        seen, t = t >= 0, t.clamp(min=0)
        squared = (self.outcome_mean(x, t) - y).square().mean(dim=1)
        ce = nn.functional.nll_loss(self.treatment_log_prob(x, y), t, reduction="none")
        return ((squared + ce) * seen).sum() / seen.sum().clamp(min=1)

    def outcome_mean(self, x: Tensor, t: Tensor) -> Tensor:
        return self.outcome(torch.cat([x, nn.functional.one_hot(t, self.treatments).to(x.dtype)], dim=1))

    def treatment_log_prob(self, x: Tensor, y: Tensor) -> Tensor:
        return self.treatment(torch.cat([x, y], dim=1)).log_softmax(dim=1)


class Stacked(Learner):
    """A learner of the run axis that is defined elsewhere."""

    def __init__(self, sizes: Sizes, seeds: Any, stats: Any, width: int = 16) -> None:
        super().__init__(sizes, seeds, stats)
        d_x, d_y, k = sizes
        self.outcome = MLP([d_x + k, width, d_y], [stream(seed, "init.outcome") for seed in seeds])
        self.treatment = MLP([d_x + d_y, width, k], [stream(seed, "init.treatment") for seed in seeds])

    def objectives(self) -> list[Objective]:
        return [Objective("fit", list(self.parameters()), self.loss)]

    def loss(self, batch: Batch) -> Loss:
        seen, t = batch.t >= 0, batch.t.clamp(min=0)
        squared = (self.outcome_mean(batch.x, t) - batch.y).square().mean(dim=-1)
        ce = -self.treatment_log_prob(batch.x, batch.y).gather(-1, t.unsqueeze(-1)).squeeze(-1)
        return Loss(mean_where(squared + ce, seen), {})

    def outcome_mean(self, x: Tensor, t: Tensor) -> Tensor:
        return self.outcome(torch.cat([x, one_hot(t, self.sizes.treatments, x.dtype)], dim=-1))

    def treatment_log_prob(self, x: Tensor, y: Tensor) -> Tensor:
        return self.treatment(torch.cat([x, y], dim=-1)).log_softmax(dim=-1)


class Half(Learner):
    """No whole model: it has no objectives."""

    def outcome_mean(self, x: Tensor, t: Tensor) -> Tensor:  # noqa: ARG002
        return x

    def treatment_log_prob(self, x: Tensor, y: Tensor) -> Tensor:  # noqa: ARG002
        return y


WORDS = "a text"


class Frozen(Ordinary):
    """A part is frozen in eval mode; the loss uses sums whose gradients are no plain memory."""

    def __init__(self, d_x: int, d_y: int, treatments: int) -> None:
        super().__init__(d_x, d_y, treatments)
        self.level = nn.Parameter(torch.zeros(3))
        self.outcome[1].eval()

    def loss(self, x: Tensor, t: Tensor, y: Tensor) -> Tensor:
        return super().loss(x, t, y) + (self.level.sum() - 1) ** 2


class Short(Ordinary):
    """Does not take the sizes."""

    def __init__(self, width: int = 3) -> None:
        super().__init__(1, 1, 2, width)


class Flat(Ordinary):
    """Returns the wrong shape."""

    def outcome_mean(self, x: Tensor, t: Tensor) -> Tensor:
        return super().outcome_mean(x, t)[:, 0]


class Logits(Ordinary):
    """Returns no log probabilities."""

    def treatment_log_prob(self, x: Tensor, y: Tensor) -> Tensor:
        return 3 + super().treatment_log_prob(x, y)


class Boom(Ordinary):
    """Cannot be made."""

    def __init__(self, d_x: int, d_y: int, treatments: int) -> None:
        super().__init__(d_x, d_y, treatments)
        raise RuntimeError("no licence file")


class Detached(Ordinary):
    """Its loss has no gradient."""

    def loss(self, x: Tensor, t: Tensor, y: Tensor) -> Tensor:
        return super().loss(x, t, y).detach()
