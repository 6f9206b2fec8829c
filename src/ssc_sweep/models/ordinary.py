"""An ordinary torch module as a model: it knows nothing of runs, stacks or modes, and trains by itself.

Its constructor takes d_x, d_y, treatments and the arguments of its YAML. It offers, for B rows,

    loss(x, t, y) -> scalar                      t is -1 where the treatment is hidden
    outcome_mean(x, t) -> (B, d_y)               E[Y | x, t]
    treatment_log_prob(x, y) -> (B, K)           log P(T | x, y)

and, if it likes, outcome_log_prob(x, t, y) -> (B,) and outcome_quantiles(x, t, levels) -> (B, d_y, Q).
"""

from collections.abc import Sequence
from typing import Any, ClassVar, Protocol, runtime_checkable

from torch import Tensor, nn

from ssc_sweep.config import StatsMode
from ssc_sweep.models.contract import Batch, Learner, Loss, Objective, Sizes

# What the adapter gives the module's constructor.
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

    def objectives(self) -> list[Objective]:
        return [Objective("fit", [p for p in self.parameters() if p.requires_grad], self.loss)]

    def loss(self, batch: Batch) -> Loss:
        """The module's own.

        Raises:
            ValueError: it is no scalar.
        """
        total = self.module.loss(batch.x[0], batch.t[0], batch.y[0])
        if total.numel() != 1:
            raise ValueError(f"{type(self.module).__name__}.loss returned shape {tuple(total.shape)}, not a scalar")
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
