"""flow_ssc, the model under investigation: a classifier p(t|x) and a conditional flow p(y|x,t) trained together.

x and y are normalised by statistics (shift, scale) that are part of the model, see `RunningStats`. Per batch,

    labelled rows:    -mean(ll_x + max(ll_y, -100)) + cross entropy(t | x)
    unlabelled rows:  -gamma mean(ll_x + logsumexp_t(log p(t|x) + max(ll_y(t), -100)))

with ll_y the log density of the normalised outcome. Beyond the clamp at -100 the gradient is zero. ll_x comes from a
flow over x that is never trained: a constant, left out by default like the couplings that transform nothing. The
parameter `inert` includes both again. With px=trained that flow learns, and ll_x is in the loss.

Prediction: the mean outcome in its own unit, clamped to +-`clamp` (100 kg for NHEFS); p(t|x,y) is proportional to
p(t|x) p(y|x,t).
"""

from collections.abc import Iterator, Sequence
from typing import Annotated, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from ssc_sweep.config import StatsMode
from ssc_sweep.models.contract import LARGEST_Z, Batch, Learner, Loss, Objective, Sizes, largest_z, mean_where, one_hot
from ssc_sweep.models.coupling import CouplingFlow, ScaleLaw
from ssc_sweep.models.layers import MLP, RunningStats
from ssc_sweep.probe import Probe, Tells
from ssc_sweep.schema import Count, NotNegative, Positive, Share
from ssc_sweep.streams import stream


def _loss(total: Tensor, ll_y: Tensor, log_scale: Tensor, clamped: Tensor, **parts: Tensor) -> Loss:
    # In order of computation, so that the first NaN is reported where it arises.
    named = {"log_scale": log_scale, "ll_y": ll_y, "clamped": clamped.to(ll_y.dtype).mean(dim=1), **parts}
    return Loss(total, {name: part.detach() for name, part in named.items()})


class FlowSSC(Learner):
    """See the module.

    Parts of its loss, for the probes: labelled, unlabelled and ce; clamped, the share of rows whose ll_y is below the
    clamp, for any treatment if it is hidden; by row ll_y, of the mixture if the treatment is hidden; and by row, and by
    treatment if it is hidden, log_scale, the log of the product of all scales.

    Args:
        couplings: affine couplings of p(y|x,t).
        width: hidden units of its conditioners and of the classifier.
        x_couplings, x_width: the same for the untrained flow over x.
        gamma: weight of the unlabelled rows.
        samples: draws that a prediction averages if the conditional is not Gaussian (d_y > 1).
        inert: also compute the parts that never learn.
        min_scale: smallest scale of a coupling of p(y|x,t). A prediction is divided by every scale.
        clamp: predictions are clamped to +- this, in the outcome's unit; None: never.
        scale_law: of the couplings of p(y|x,t), see `coupling`.
        px: whether the flow over x is fixed, trained, or absent.
        min_log_density: lower clamp of ll_y in the loss; None: never.
    """

    every_treatment = True
    probes: ClassVar[tuple[Probe, ...]] = (
        Probe("ll_x", "log density of x under the flow over x", "nats"),
        *(
            probe
            for name in ("x", "y")
            for probe in (
                Probe(f"{name}_shift", f"shift of {name}, mean over columns"),
                Probe(f"{name}_scale", f"scale of {name}, mean over columns"),
                Probe(f"{name}_shift_off", f"shift of {name}: distance from that of all rows", "sd", Tells.DISTANCE),
                Probe(f"{name}_scale_off", f"scale of {name}: distance from that of all rows", "sd", Tells.DISTANCE),
            )
        ),
        *LARGEST_Z,
    )

    def __init__(
        self,
        sizes: Sizes,
        seeds: Sequence[int],
        stats: Sequence[StatsMode],
        # With one outcome, the first coupling transforms nothing.
        couplings: Annotated[int, Field(ge=2)],
        width: Count,
        x_couplings: Count,
        x_width: Count,
        gamma: NotNegative,
        samples: Count,
        inert: bool,
        min_scale: Share,
        clamp: Positive | None,
        scale_law: ScaleLaw = "sigmoid",
        px: Literal["fixed", "trained", "absent"] = "fixed",
        min_log_density: Annotated[float, Field(lt=0)] | None = -100.0,
    ) -> None:
        super().__init__(sizes, seeds, stats)
        self.gamma, self.samples = gamma, samples
        self.outcome_limit = float("inf") if clamp is None else clamp
        self.min_log_density = -float("inf") if min_log_density is None else min_log_density
        d_x, d_y, treatments = sizes
        momentum, fixed = [s.momentum for s in stats], [s.mode == "precomputed" for s in stats]
        unit = [s.constant == "one" for s in stats]
        self.x_stats, self.y_stats = RunningStats(d_x, momentum, fixed, unit), RunningStats(d_y, momentum, fixed)
        draws = [stream(seed, "init.classifier") for seed in seeds]
        self.classifier = MLP([d_x, width, width, treatments], draws)
        self.y_flow = CouplingFlow(
            d_y, d_x + treatments, couplings, width, seeds, "init.y_flow", inert, min_scale, scale_law
        )
        absent = px == "absent"
        self.x_flow = None if absent else CouplingFlow(d_x, 0, x_couplings, x_width, seeds, "init.x_flow", inert=True)
        self.x_learns = px == "trained"
        # Whether ll_x is computed for the loss: it changes no gradient unless the flow over x learns.
        self.with_ll_x = self.x_learns or (inert and not absent)

    def start(self, train: Batch) -> None:
        self.x_stats.precompute(train.x)
        self.y_stats.precompute(train.y)

    def before_step(self, batch: Batch) -> None:
        self.x_stats.update(batch.x)
        self.y_stats.update(batch.y)

    def objectives(self) -> list[Objective]:
        over_x = self.x_flow.learning() if self.x_flow is not None and self.x_learns else []
        learning = [*self.classifier.parameters(), *self.y_flow.learning(), *over_x]
        return [Objective("likelihood", learning, self.loss)]

    def loss(self, batch: Batch) -> Loss:
        """The loss of the module's docstring, per run."""
        x, y = self.x_stats.normalise(batch.x), self.y_stats.normalise(batch.y)
        logits = self.classifier(x)
        ll_x = self._ll_x(x) if self.with_ll_x else 0.0
        if not batch.any_hidden:
            ll_y, log_scale = self.y_flow.density(y, self._context(x, batch.t))
            ce = nn.functional.cross_entropy(logits.flatten(0, 1), batch.t.flatten(), reduction="none").view_as(ll_y)
            gain = ll_y.clamp(min=self.min_log_density)
            labelled = (ce - (gain + ll_x if self.with_ll_x else gain)).mean(dim=1)
            clamped = ll_y < self.min_log_density
            return _loss(labelled, ll_y, log_scale, clamped, labelled=labelled, ce=ce.detach().mean(dim=1))
        log_p_t = torch.log_softmax(logits, dim=-1)
        seen, t = batch.t >= 0, batch.t.clamp(min=0).unsqueeze(-1)
        all_ll_y, all_log_scale = self._density_of_all(x, y)
        ll_y = all_ll_y.gather(-1, t).squeeze(-1)
        ce = mean_where(-log_p_t.gather(-1, t).squeeze(-1), seen)
        labelled = ce - mean_where(ll_x + ll_y.clamp(min=self.min_log_density), seen)
        mixture = torch.logsumexp(log_p_t + all_ll_y.clamp(min=self.min_log_density), dim=-1)
        unlabelled = -self.gamma * mean_where(ll_x + mixture, ~seen)
        with torch.no_grad():  # for the probes
            clamped = torch.where(seen, ll_y < self.min_log_density, (all_ll_y < self.min_log_density).all(dim=-1))
            ll_y = torch.where(seen, ll_y, torch.logsumexp(log_p_t + all_ll_y, dim=-1))
            log_scale = torch.where(seen.unsqueeze(-1), all_log_scale.gather(-1, t), all_log_scale).flatten(1)
        parts = {"labelled": labelled, "unlabelled": unlabelled, "ce": ce}
        return _loss(labelled + unlabelled, ll_y, log_scale, clamped, **parts)

    def probe(self, some: Batch, train: Batch, val: Batch) -> dict[str, Tensor]:
        """ll_x by row; mean of each statistic and its distance from the training rows' own; the largest |z|."""
        found = {} if self.x_flow is None else {"ll_x": self._ll_x(self.x_stats.normalise(some.x))}
        for name, stats in (("x", self.x_stats), ("y", self.y_stats)):
            found[f"{name}_shift"], found[f"{name}_scale"] = stats.shift.mean(dim=(1, 2)), stats.scale.mean(dim=(1, 2))
            found[f"{name}_shift_off"], found[f"{name}_scale_off"] = stats.distance()
        return found | largest_z(self.x_stats.normalise, train, val)

    def _ll_x(self, x: Tensor) -> Tensor:
        """log p(x) of normalised rows under the flow over x, with a gradient only where it learns: (R, B)."""
        assert self.x_flow is not None
        with torch.set_grad_enabled(self.x_learns and torch.is_grad_enabled()):
            return self.x_flow.density(x, x[..., :0])[0]

    def _context(self, x: Tensor, t: Tensor) -> Tensor:
        return torch.cat([x, one_hot(t, self.sizes.treatments, x.dtype)], dim=-1)

    def _for_every_treatment(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """Repeat normalised rows for each treatment: outcomes (R, K B, d_y), contexts (R, K B, d_x + K)."""
        runs, rows, _ = x.shape
        k = self.sizes.treatments
        t = torch.arange(k, device=x.device).repeat_interleave(rows).expand(runs, -1)
        return y.repeat(1, k, 1), self._context(x.repeat(1, k, 1), t)

    def _by_treatment(self, values: Tensor) -> Tensor:
        """(R, K B) -> (R, B, K)."""
        return values.unflatten(1, (self.sizes.treatments, -1)).transpose(1, 2)

    def _density_of_all(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """log p(y | x, k) and its log scale for every treatment k of normalised rows: (R, B, K) each."""
        ll_y, log_scale = self.y_flow.density(*self._for_every_treatment(x, y))
        return self._by_treatment(ll_y), self._by_treatment(log_scale)

    def outcome_mean(self, x: Tensor, t: Tensor) -> Tensor:
        context = self._context(self.x_stats.normalise(x), t)
        if self.sizes.d_y == 1:
            mean = self.y_flow.inverse(x.new_zeros(*x.shape[:2], 1), context)
        else:
            mean = self._sampled_mean(context)
        return self.y_stats.restore(mean).clamp(-self.outcome_limit, self.outcome_limit)

    def _sampled_mean(self, context: Tensor) -> Tensor:
        """Average of `samples` draws: (R, B, d_y)."""
        total = torch.zeros((), dtype=context.dtype, device=context.device)
        for drawn in self._drawn(context):
            total = total + drawn
        return total / self.samples

    def _drawn(self, context: Tensor) -> Iterator[Tensor]:
        """`samples` draws of the normalised outcome, always from the start of the run's own stream: (R, B, d_y)."""
        shape = (context.shape[1], self.sizes.d_y)
        draws = [stream(seed, "predict") for seed in self.seeds]
        for _ in range(self.samples):
            noise = torch.stack([torch.from_numpy(draw.standard_normal(shape)) for draw in draws])
            yield self.y_flow.inverse(noise.to(context), context)

    def outcome_quantiles(self, x: Tensor, t: Tensor, levels: Tensor) -> Tensor:
        """One outcome: exact, since y increases with z. Several: quantiles of `samples` draws."""
        context = self._context(self.x_stats.normalise(x), t)
        if self.sizes.d_y == 1:
            z = torch.special.ndtri(levels.to(context)).unbind(0)
            found = [self.y_flow.inverse(context.new_full((*x.shape[:2], 1), float(one)), context) for one in z]
        else:
            # torch.quantile needs the levels in the dtype of the values.
            found = list(torch.stack(list(self._drawn(context))).quantile(levels.to(context), dim=0).unbind(0))
        return torch.stack([self.y_stats.restore(one) for one in found], dim=-1)

    def outcome_log_prob(self, x: Tensor, t: Tensor, y: Tensor) -> Tensor:
        normalised, context = self.y_stats.normalise(y), self._context(self.x_stats.normalise(x), t)
        return self.y_flow.density(normalised, context)[0] - self.y_stats.scale.log().sum(dim=-1)

    def treatment_log_prob(self, x: Tensor, y: Tensor) -> Tensor:
        x, y = self.x_stats.normalise(x), self.y_stats.normalise(y)
        return self._posterior(x, self._density_of_all(x, y)[0])

    def _posterior(self, x: Tensor, ll_y: Tensor) -> Tensor:
        """log p(t | x, y) of normalised rows from log p(y | x, t): (R, B, K)."""
        log_p_t = nn.functional.log_softmax(self.classifier(x), dim=-1)
        return torch.log_softmax(log_p_t + ll_y, dim=-1)

    def predict(self, x: Tensor, t: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        if self.sizes.d_y > 1:
            return super().predict(x, t, y)
        # One outcome: z is linear in y, so the flow's z for the true y also gives the mean, at which z is 0.
        x, y = self.x_stats.normalise(x), self.y_stats.normalise(y)
        z, log_scale = self.y_flow(*self._for_every_treatment(x, y))
        offset = self._by_treatment(z.squeeze(-1) / log_scale.exp()).gather(-1, t.unsqueeze(-1))
        mean = self.y_stats.restore(y - offset).clamp(-self.outcome_limit, self.outcome_limit)
        return mean, self._posterior(x, self._by_treatment(self.y_flow.log_prob(z, log_scale)))
