"""An ordinary torch module as a model, without runs, stacks or modes; it trains alone.

Its constructor takes d_x, d_y, treatments and the arguments of its YAML. It offers, for B rows,

    loss(x, t, y) -> scalar                      t is -1 where the treatment is hidden
    outcome_mean(x, t) -> (B, d_y)               E[Y | x, t]
    treatment_log_prob(x, y) -> (B, K)           log P(T | x, y)

and, optionally, outcome_log_prob(x, t, y) -> (B,) and outcome_quantiles(x, t, levels) -> (B, d_y, Q).
"""

from collections.abc import Sequence
from typing import Any, ClassVar, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from ssc_sweep.config import StatsMode
from ssc_sweep.models.contract import Batch, Learner, Loss, Objective, Sizes

# Arguments that the adapter gives the module's constructor.
GIVEN = ("d_x", "d_y", "treatments")


@runtime_checkable
class Ordinary(Protocol):
    """What a module must offer."""

    def loss(self, x: Tensor, t: Tensor, y: Tensor) -> Tensor: ...
    def outcome_mean(self, x: Tensor, t: Tensor) -> Tensor: ...
    def treatment_log_prob(self, x: Tensor, y: Tensor) -> Tensor: ...


@runtime_checkable
class WithDensity(Protocol):
    """A module that has a density."""

    def outcome_log_prob(self, x: Tensor, t: Tensor, y: Tensor) -> Tensor: ...


@runtime_checkable
class WithQuantiles(Protocol):
    """A module that has quantiles."""

    def outcome_quantiles(self, x: Tensor, t: Tensor, levels: Tensor) -> Tensor: ...


class Adapted(Learner):
    """One ordinary module as a stack of one run.

    Args:
        module: its class.
        arguments: of its YAML.
    """

    stacks: ClassVar[bool] = False

    def __init__(
        self,
        sizes: Sizes,
        seeds: Sequence[int],
        stats: Sequence[StatsMode],
        module: type[nn.Module],
        arguments: dict[str, Any],
    ) -> None:
        super().__init__(sizes, seeds, stats)
        self.module: Any = module(**sizes._asdict(), **arguments)

    def start(self, train: Batch) -> None:
        """Check the module's return values on two rows.

        Raises:
            ValueError: a shape is wrong, or probabilities do not add up to 1.
        """
        x, t, y = train.x[0, :2], train.t[0, :2].clamp(min=0), train.y[0, :2]
        (_, d_y, k), name, modes = self.sizes, type(self.module).__name__, [(m, m.training) for m in self.modules()]
        self.eval()
        with torch.no_grad():
            log_p = self.module.treatment_log_prob(x, y)
            found: dict[str, tuple[Tensor, tuple[int, ...]]] = {
                "outcome_mean": (self.module.outcome_mean(x, t), (2, d_y)),
                "treatment_log_prob": (log_p, (2, k)),
            }
            if isinstance(self.module, WithDensity):
                found["outcome_log_prob"] = self.module.outcome_log_prob(x, t, y), (2,)
            if isinstance(self.module, WithQuantiles):
                levels = x.new_tensor([0.25, 0.75])
                found["outcome_quantiles"] = self.module.outcome_quantiles(x, t, levels), (2, d_y, 2)
        for module, mode in modes:
            module.training = mode
        for method, (tensor, shape) in found.items():
            if tuple(tensor.shape) != shape:
                raise ValueError(f"{name}.{method} returned shape {tuple(tensor.shape)} for 2 rows, not {shape}")
        if not torch.allclose(log_p.exp().sum(dim=1), log_p.new_ones(2), atol=1e-3):
            raise ValueError(f"{name}.treatment_log_prob returned no log probabilities: they do not add up to 1")

    def objectives(self) -> list[Objective]:
        learning = [p for p in self.parameters() if p.requires_grad]
        if not learning:
            raise ValueError(f"{type(self.module).__name__} has no parameter to train")
        return [Objective("fit", learning, self.loss)]

    def loss(self, batch: Batch) -> Loss:
        """Return the module's own loss.

        Raises:
            ValueError: it is no scalar, or depends on no parameter.
        """
        total = self.module.loss(batch.x[0], batch.t[0], batch.y[0])
        if total.numel() != 1:
            raise ValueError(f"{type(self.module).__name__}.loss returned shape {tuple(total.shape)}, not a scalar")
        if not total.requires_grad:
            raise ValueError(
                f"{type(self.module).__name__}.loss depends on no parameter that trains: is something detached, or "
                "inside torch.no_grad()?"
            )
        return Loss(total.view(1), {})

    def outcome_mean(self, x: Tensor, t: Tensor) -> Tensor:
        return self.module.outcome_mean(x[0], t[0]).unsqueeze(0)

    def treatment_log_prob(self, x: Tensor, y: Tensor) -> Tensor:
        return self.module.treatment_log_prob(x[0], y[0]).unsqueeze(0)

    def outcome_log_prob(self, x: Tensor, t: Tensor, y: Tensor) -> Tensor | None:
        if not isinstance(self.module, WithDensity):
            return None
        return self.module.outcome_log_prob(x[0], t[0], y[0]).unsqueeze(0)

    def outcome_quantiles(self, x: Tensor, t: Tensor, levels: Tensor) -> Tensor | None:
        if not isinstance(self.module, WithQuantiles):
            return None
        return self.module.outcome_quantiles(x[0], t[0], levels).unsqueeze(0)
