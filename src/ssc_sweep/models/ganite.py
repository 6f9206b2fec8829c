"""ganite: outcomes under every treatment, completed by an adversarial network, then learnt by a second network.

After GANITE (Yoon, Jordon & van der Schaar 2018, ICLR), with a classifier for hidden treatments. Four networks, trained
in turn in every step; y^ is the vector of the K outcomes G_cf(x, t, y, z) with the true outcome in place t:

    discriminator  D_y(x, y^) names the place of the true outcome: cross entropy, `inner` updates a step
    generator      G_cf: squared error in place t, minus alpha times the discriminator's cross entropy
    effects        G_ite(x) learns y^; where the treatment is hidden, the outcome under each, weighted by C_t
    treatment      C_t(x, y): cross entropy

z is uniform on (-1, 1)^(K-1). Only rows whose treatment is known train the first two and the last. The paper's second
discriminator, of effects, is left out, as in the study under investigation. Prediction: G_ite(x) in place t, and C_t.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ssc_sweep.config import StatsMode
from ssc_sweep.models.contract import Batch, Learner, Loss, Objective, Sizes, mean_where, one_hot
from ssc_sweep.models.layers import MLP, Noise, Standard
from ssc_sweep.schema import Count, NotNegative, Positive
from ssc_sweep.streams import stream


class Ganite(Learner):
    """See the module.

    Args:
        width: hidden units of both layers of every network.
        alpha: weight of the discriminator in the generator's loss.
        inner: updates of the discriminator per step.
        discriminator_lr: its learning rate; None: the run's.
        scale_y: whether the networks see outcomes standardised by the training rows, instead of in their own unit.
    """

    def __init__(
        self,
        sizes: Sizes,
        seeds: Sequence[int],
        stats: Sequence[StatsMode],
        width: Count,
        alpha: NotNegative,
        inner: Count,
        discriminator_lr: Positive | None,
        scale_y: bool,
    ) -> None:
        super().__init__(sizes, seeds, stats)
        d_x, d_y, treatments = sizes
        self.alpha, self.inner, self.discriminator_lr, self.scale_y = alpha, inner, discriminator_lr, scale_y

        def network(name: str, d_in: int, d_out: int) -> MLP:
            return MLP([d_in, width, width, d_out], [stream(seed, f"init.{name}") for seed in seeds])

        outcomes = treatments * d_y
        self.g_cf = network("g_cf", d_x + treatments + d_y + treatments - 1, outcomes)
        self.d_y = network("d_y", d_x + outcomes, treatments)
        self.g_ite = network("g_ite", d_x, outcomes)
        self.c_t = network("c_t", d_x + d_y, treatments)
        self.y_standard = Standard(len(seeds), d_y)
        self.noise = Noise(seeds, "noise", 1.0)

    def start(self, train: Batch) -> None:
        self.y_standard.fit(train.y, applied=self.scale_y)

    def objectives(self) -> list[Objective]:
        return [
            Objective(
                "discriminator", list(self.d_y.parameters()), self.discriminate, self.inner, self.discriminator_lr
            ),
            Objective("generator", list(self.g_cf.parameters()), self.generate),
            Objective("effects", list(self.g_ite.parameters()), self.learn_effects),
            Objective("treatment", list(self.c_t.parameters()), self.classify),
        ]

    def complete(self, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
        """Return (y^, squared error in place t, whether t is known): (R, B, K, d_y), (R, B), (R, B)."""
        y, seen, t = self.y_standard.normalise(batch.y), batch.t >= 0, batch.t.clamp(min=0)
        place = one_hot(t, self.sizes.treatments, batch.x.dtype)
        z = self.noise.uniform(batch.x, self.sizes.treatments - 1)
        generated = self._vector(self.g_cf(torch.cat([batch.x, place, y, z], dim=-1)))
        at_t = (generated * place.unsqueeze(-1)).sum(dim=-2)
        completed = torch.where(place.unsqueeze(-1) > 0, y.unsqueeze(-2), generated)
        return completed, (at_t - y).square().mean(dim=-1), seen

    def discriminate(self, batch: Batch) -> Loss:
        """Return the discriminator's loss."""
        with torch.no_grad():
            completed, _, seen = self.complete(batch)
        return _whole(mean_where(self._place_ce(batch, completed), seen))

    def generate(self, batch: Batch) -> Loss:
        """Return the generator's loss."""
        completed, squared, seen = self.complete(batch)
        error = mean_where(squared, seen)
        fooled = mean_where(self._place_ce(batch, completed), seen)
        return Loss(error - self.alpha * fooled, {"squared": error.detach(), "fooled": fooled.detach()})

    def learn_effects(self, batch: Batch) -> Loss:
        """Return the loss of the network of effects."""
        with torch.no_grad():
            completed, _, seen = self.complete(batch)
        mine = self._vector(self.g_ite(batch.x))
        known = (mine - completed).square().mean(dim=(-2, -1))
        if not batch.any_hidden:
            return _whole(known.mean(dim=1))
        with torch.no_grad():
            p = self.treatment_log_prob(batch.x, batch.y).exp()
        y = self.y_standard.normalise(batch.y).unsqueeze(-2)
        hidden = (p * (mine - y).square().mean(dim=-1)).sum(dim=-1)
        return _whole(torch.where(seen, known, hidden).mean(dim=1))

    def classify(self, batch: Batch) -> Loss:
        """Return the classifier's loss."""
        seen, t = batch.t >= 0, batch.t.clamp(min=0)
        log_p = self.treatment_log_prob(batch.x, batch.y)
        return _whole(mean_where(-log_p.gather(-1, t.unsqueeze(-1)).squeeze(-1), seen))

    def _place_ce(self, batch: Batch, completed: Tensor) -> Tensor:
        """Cross entropy of the discriminator's guess for the place of the true outcome: (R, B)."""
        logits = self.d_y(torch.cat([batch.x, completed.flatten(-2)], dim=-1))
        t = batch.t.clamp(min=0)
        return nn.functional.cross_entropy(logits.flatten(0, 1), t.flatten(), reduction="none").view_as(t)

    def _vector(self, out: Tensor) -> Tensor:
        """(R, B, K d_y) -> (R, B, K, d_y)."""
        return out.unflatten(-1, (self.sizes.treatments, self.sizes.d_y))

    def outcome_mean(self, x: Tensor, t: Tensor) -> Tensor:
        place = one_hot(t, self.sizes.treatments, x.dtype).unsqueeze(-1)
        return self.y_standard.restore((self._vector(self.g_ite(x)) * place).sum(dim=-2))

    def treatment_log_prob(self, x: Tensor, y: Tensor) -> Tensor:
        return self.c_t(torch.cat([x, self.y_standard.normalise(y)], dim=-1)).log_softmax(dim=-1)


def _whole(total: Tensor) -> Loss:
    """Return a loss without parts."""
    return Loss(total, {})
