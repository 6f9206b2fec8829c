"""mean_teacher: a network for the outcome, and a student for the treatment that follows its own average.

Mean Teacher (Tarvainen & Valpola 2017, NeurIPS, arXiv:1703.01780) applied to p(t | x, y). The teacher has the student's
shape, starts equal to it and follows it after each step: teacher <- d teacher + (1 - d) student. Per batch,

    outcome        mean squared error of m(x, t), rows whose treatment is known
    ce             cross entropy of the student's p(t | x, y) under input noise, the same rows
    consistency    mean over all rows of |p_student - p_teacher|^2, each under its own input noise
    loss           outcome + ce + w consistency,   w = weight exp(-5 (1 - min(step / ramp, 1))^2)

Input noise is normal, with `noise` standard deviations of each column. Prediction: m(x, t), and the teacher's
p(t | x, y).
"""

import math
from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor

from ssc_sweep.config import StatsMode
from ssc_sweep.models.contract import LARGEST_Z, Batch, Learner, Loss, Objective, Sizes, largest_z, mean_where, one_hot
from ssc_sweep.models.layers import MLP, Noise, RunningStats, Standard
from ssc_sweep.probe import Probe, Tells
from ssc_sweep.schema import Count, NotNegative, Share
from ssc_sweep.streams import stream

# Recorded with running_stats=true.
X_STATISTICS = (
    Probe("x_scale_off", "scale of x: distance from that of all rows", "sd", Tells.DISTANCE),
    *LARGEST_Z,
)


class MeanTeacher(Learner):
    """See the module.

    Args:
        width: hidden units of both layers of every network.
        decay: d, share of the old teacher that stays after a step.
        weight: of the consistency after the ramp.
        ramp: steps over which it rises.
        noise: of the inputs, in standard deviations of the training rows.
        running_stats: whether covariates are also normalised by batch statistics, as in flow_ssc (`stats_mode`); tests
            what that does to a model that works without.
        scale_y: whether the networks see outcomes standardised by the training rows, instead of in their own unit.
    """

    probes: ClassVar[tuple[Probe, ...]] = (
        Probe("teacher_off", "distance of teacher and student, share of the student's norm"),
        *X_STATISTICS,
    )

    def __init__(
        self,
        sizes: Sizes,
        seeds: Sequence[int],
        stats: Sequence[StatsMode],
        width: Count,
        decay: Share,
        weight: NotNegative,
        ramp: Count,
        noise: NotNegative,
        scale_y: bool,
        running_stats: bool,
    ) -> None:
        super().__init__(sizes, seeds, stats)
        d_x, d_y, treatments = sizes
        self.decay, self.weight, self.ramp, self.scale_y = decay, weight, ramp, scale_y
        self.outcome = MLP([d_x + treatments, width, width, d_y], [stream(seed, "init.outcome") for seed in seeds])
        self.student = MLP([d_x + d_y, width, width, treatments], [stream(seed, "init.student") for seed in seeds])
        self.teacher = MLP([d_x + d_y, width, width, treatments], [stream(seed, "init.student") for seed in seeds])
        self.teacher.requires_grad_(False)
        self.y_standard = Standard(len(seeds), d_y)
        momentum, fixed = [s.momentum for s in stats], [s.mode == "precomputed" for s in stats]
        unit = [s.constant == "one" for s in stats]
        self.x_stats = RunningStats(d_x, momentum, fixed, unit) if running_stats else None
        self.noise = Noise(seeds, "noise", noise)
        self.step = 0

    def start(self, train: Batch) -> None:
        self.y_standard.fit(train.y, applied=self.scale_y)
        if self.x_stats is not None:
            self.x_stats.precompute(train.x)

    def before_step(self, batch: Batch) -> None:
        if self.x_stats is not None:
            self.x_stats.update(batch.x)

    def objectives(self) -> list[Objective]:
        return [Objective("consistency", [*self.outcome.parameters(), *self.student.parameters()], self.loss)]

    def loss(self, batch: Batch) -> Loss:
        """The loss of the module's docstring, per run."""
        y, seen, t = self.y_standard.normalise(batch.y), batch.t >= 0, batch.t.clamp(min=0)
        squared = (self._outcome(batch.x, t) - y).square().mean(dim=-1)
        for_student, for_teacher = self._noisy(batch.x, y)
        student = self.student(for_student).log_softmax(dim=-1)
        with torch.no_grad():
            teacher = self.teacher(for_teacher).softmax(dim=-1)
        ce = -student.gather(-1, t.unsqueeze(-1)).squeeze(-1)
        parts = {
            "outcome": mean_where(squared, seen),
            "ce": mean_where(ce, seen),
            "gap": (student.exp() - teacher).square().sum(dim=-1).mean(dim=1),
        }
        rise = self.weight * math.exp(-5 * (1 - min(self.step / self.ramp, 1)) ** 2)
        total = parts["outcome"] + parts["ce"] + rise * parts["gap"]
        return Loss(total, {name: part.detach() for name, part in parts.items()})

    def after_step(self) -> None:
        self.step += 1
        with torch.no_grad():
            torch._foreach_lerp_(list(self.teacher.parameters()), list(self.student.parameters()), 1 - self.decay)

    def _x(self, x: Tensor) -> Tensor:
        return x if self.x_stats is None else self.x_stats.normalise(x)

    def _noisy(self, x: Tensor, y: Tensor) -> list[Tensor]:
        """The inputs of student and teacher: (R, B, d_x + d_y) each."""
        spread = torch.cat([x.new_ones(self.runs, 1, x.shape[-1]), self.y_standard.spread(y)], dim=-1)
        return self.noise.add(torch.cat([self._x(x), y], dim=-1), spread, copies=2)

    def _outcome(self, x: Tensor, t: Tensor) -> Tensor:
        return self.outcome(torch.cat([self._x(x), one_hot(t, self.sizes.treatments, x.dtype)], dim=-1))

    def outcome_mean(self, x: Tensor, t: Tensor) -> Tensor:
        return self.y_standard.restore(self._outcome(x, t))

    def treatment_log_prob(self, x: Tensor, y: Tensor) -> Tensor:
        return self.teacher(torch.cat([self._x(x), self.y_standard.normalise(y)], dim=-1)).log_softmax(dim=-1)

    def probe(self, some: Batch, train: Batch, val: Batch) -> dict[str, Tensor]:
        pairs = zip(self.teacher.parameters(), self.student.parameters(), strict=True)
        both = [((a - b).flatten(1).square().sum(1), b.flatten(1).square().sum(1)) for a, b in pairs]
        off, norm = (torch.stack(list(part), dim=1).sum(1) for part in zip(*both, strict=True))
        found = {"teacher_off": (off / norm).sqrt()}
        if self.x_stats is not None:
            found["x_scale_off"] = self.x_stats.distance()[1]
            found |= largest_z(self.x_stats.normalise, train, val)
        return found
