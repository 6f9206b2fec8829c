"""prob_circuit: a probabilistic circuit over covariates x, treatment t and outcomes y, with exact conditionals.

The circuit is built from the leaves, products and sums of the package `spflow`:

    p(x, t, y) = sum_c w_c X_c(x) sum_d V_cd T_d(t) N_d(y)        N_d(y) = prod_j N(y_j; mu_dj, sigma_dj)

X_c, c = 1 ... C, are the roots of a random tensorised circuit over x (RAT-SPN): x is cut at random into 2^depth parts,
sums and products join the parts in pairs, and several such cuts are mixed. T_d is a categorical distribution over the
K treatments. The region {t, y} is directly below the root, as a sum over D pairs of a treatment and an outcome
distribution. So y depends on t inside every component c. With a random cut of all variables it would not: t and y would
be independent given the component, which many covariates determine almost surely.

Every sum mixes functions of the same variables (smooth) and every product joins disjoint ones (decomposable). So
setting a variable's leaves to 1 sums it out exactly (Poon & Domingos 2011; Choi, Vergari & Van den Broeck 2020): a
hidden treatment enters the likelihood as the sum over t. All conditionals follow from one function of x,

    g_d(x) = log sum_c w_c X_c(x) V_cd         so that p(x, t, y) = sum_d exp(g_d(x)) T_d(t) N_d(y)
    r(x, t) = softmax_d(g_d(x) + log T_d(t))   posterior weights of the pairs
    p(y | x, t) = sum_d r_d(x, t) N_d(y)       E[y | x, t] = sum_d r_d(x, t) mu_d
    p(t | x, y) = sum_d exp(g_d(x)) T_d(t) N_d(y) / sum_t' (the same)

Training maximises the mean of log p(x, t, y). Every standard deviation has a floor: without one the density of
a 0/1 covariate has no maximum.

References: Poon & Domingos, "Sum-product networks: a new deep architecture", UAI 2011. Peharz et al., "Random
sum-product networks", UAI 2019 (PMLR 115, 2020). Choi, Vergari & Van den Broeck, "Probabilistic circuits: a unifying
framework for tractable probabilistic models", 2020.
"""

import math
from collections.abc import Mapping, Sequence
from types import SimpleNamespace
from typing import Annotated, ClassVar

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn

from ssc_sweep.config import StatsMode
from ssc_sweep.models.contract import Batch, Learner, Loss, Objective, Sizes
from ssc_sweep.schema import Count, Positive
from ssc_sweep.streams import stream

# Rows of x that a prediction evaluates at once: a row needs d_x * leaves * repetitions numbers.
ROWS_AT_A_TIME = 1024
# A pair begins with this probability of its own treatment; the other treatments share the rest.
OWN_TREATMENT = 0.9
# Steps of the bisection for a quantile: enough for the last bit of a float64.
HALVINGS = 60


def _spflow() -> SimpleNamespace:
    """Return the parts of spflow that the circuit is built from; imported here, as the package is optional."""
    from spflow.modules.leaves.categorical import Categorical
    from spflow.modules.leaves.normal import Normal
    from spflow.modules.products.product import Product
    from spflow.modules.sums.sum import Sum
    from spflow.zoo.rat.rat_spn import RatSPN

    return SimpleNamespace(Categorical=Categorical, Normal=Normal, Product=Product, Sum=Sum, RatSPN=RatSPN)


def _first_treatment_probs(treatments: int, pairs: int) -> Tensor:
    """T_d(t) before training: pair d favours treatment d // pairs. Shape (1, D, 1, K)."""
    probs = torch.full((treatments, treatments), (1 - OWN_TREATMENT) / (treatments - 1))
    return probs.fill_diagonal_(OWN_TREATMENT).repeat_interleave(pairs, dim=0)[None, :, None, :]


class Circuit(nn.Module):
    """See the module. Shapes: n rows, d_x covariates, d_y outcomes, K treatments, D = K * pairs.

    The random cuts of x are buffers: a state dict restores the whole model, whatever the seed. x is expected
    standardised; y may have any unit. Everything stays finite as long as the square of x does.

    Args:
        d_x, d_y, treatments: sizes of the data; d_x and d_y at least 1, K at least 2.
        seed: of the cuts, the first weights and the order of the batches.
        components: C, the roots of the circuit over x.
        pairs: pairs of a treatment and an outcome distribution that begin with each treatment.
        depth: how often x is halved; fewer times if it has fewer than 2^depth columns. At 0 its columns are
            independent within a component, and the next three have no effect.
        repetitions: random cuts of x that are mixed.
        regions: sums over each part of x between the leaves and the roots.
        leaves: normal distributions for each column of x and each cut.
        x_floor: smallest standard deviation of a leaf over x, in the unit of x.
        y_floor: smallest standard deviation of a leaf over y, in standard deviations of the training rows' y.
    """

    shift: Tensor
    scale: Tensor

    def __init__(
        self,
        d_x: int,
        d_y: int,
        treatments: int,
        seed: int,
        components: int,
        pairs: int,
        depth: int,
        repetitions: int,
        regions: int,
        leaves: int,
        x_floor: float,
        y_floor: float,
    ) -> None:
        assert d_x >= 1 and d_y >= 1 and treatments >= 2
        super().__init__()
        self.d_x, self.d_y, self.treatments, self.seed = d_x, d_y, treatments, seed
        self.x_floor, self.y_floor = x_floor, y_floor
        # Mean and standard deviation of y over the training rows. Inside the circuit y is (y - shift) / scale.
        self.register_buffer("shift", torch.zeros(d_y))
        self.register_buffer("scale", torch.ones(d_y))
        draw = stream(seed, "circuit.init")
        # spflow draws from the global generators of torch and numpy: seed both, then restore both.
        numpy_state = np.random.get_state()  # noqa: NPY002
        try:
            with torch.random.fork_rng(devices=[]):
                torch.default_generator.manual_seed(int(draw.integers(2**31)))
                np.random.seed(int(draw.integers(2**31)))  # noqa: NPY002
                self._build(components, pairs, min(depth, int(math.log2(d_x))), repetitions, regions, leaves)
        finally:
            np.random.set_state(numpy_state)  # noqa: NPY002

    def _build(self, components: int, pairs: int, depth: int, repetitions: int, regions: int, leaves: int) -> None:
        make = _spflow()
        channels, cuts = (leaves, repetitions) if depth else (components, 1)
        x_leaves = make.Normal(range(self.d_x), channels, cuts, validate_args=False)
        x_circuit = make.Product(x_leaves)
        if depth:
            rat = make.RatSPN([x_leaves], components, regions, repetitions, depth)
            # RatSPN mixes two or more roots in a sum of its own; we need the roots.
            x_circuit = rat.root_node.inputs if components > 1 else rat.root_node
        columns = self.d_x + self.d_y
        y_leaves = make.Normal(range(self.d_x, columns), self.treatments * pairs, validate_args=False)
        t_probs = _first_treatment_probs(self.treatments, pairs)
        t_leaves = make.Categorical([columns], probs=t_probs, validate_args=False)
        ty_circuit = make.Sum(make.Product([y_leaves, t_leaves]), out_channels=components)
        self.root = make.Sum(make.Product([x_circuit, ty_circuit]))
        # Components begin with equal weights, and similar distributions of t and y.
        self.root.logits.data.zero_()
        ty_circuit.logits.data.mul_(0.3)
        # Names for modules that `root` already holds; as submodules they would be in the state dict twice.
        self._parts = SimpleNamespace(x=x_leaves, y=y_leaves, t=t_leaves, x_circuit=x_circuit, ty_circuit=ty_circuit)

    @torch.no_grad()
    def start(self, x: Tensor, t: Tensor, y: Tensor) -> None:
        """Take shift and scale of y from all training rows, and place every leaf at a row drawn from them.

        The outcomes of a pair come from a row of its own treatment, if one is visible. Shapes: (n, d_x), (n,) with -1
        where the treatment is hidden, (n, d_y).
        """
        self.shift.copy_(y.mean(dim=0))
        scale = y.std(dim=0, correction=0)
        # A constant outcome keeps its unit: its sd is only rounding error.
        self.scale.copy_(torch.where(scale > 10 * torch.finfo(y.dtype).eps * self.shift.abs(), scale, 1.0))
        draw = stream(self.seed, "circuit.start")
        parts = self._parts
        _, channels, repetitions = parts.x.loc.shape
        rows = torch.from_numpy(draw.integers(len(x), size=(channels, repetitions)))
        parts.x.loc.copy_(x[rows].permute(2, 0, 1))
        parts.x.log_scale.zero_()
        pairs = parts.y.loc.shape[1] // self.treatments
        chosen = []
        for k in range(self.treatments):
            mine = (t == k).nonzero().squeeze(1).cpu().numpy()
            chosen.append(draw.choice(mine if len(mine) else len(x), size=pairs))
        rows = torch.from_numpy(np.concatenate(chosen))
        parts.y.loc.copy_(self._normalise(y[rows]).T.unsqueeze(-1))
        parts.y.log_scale.fill_(math.log(0.6))
        self.constrain()

    def loss(self, x: Tensor, t: Tensor, y: Tensor) -> Tensor:
        """-mean log p(x, t, y) with y in training sd; a hidden treatment (-1) is summed out. Scalar."""
        return -self.root.log_likelihood(self._table(x, t, y)).mean()

    @torch.no_grad()
    def constrain(self) -> None:
        """Raise every standard deviation to its floor. Call it after each step."""
        self._parts.x.log_scale.clamp_(min=math.log(self.x_floor))
        self._parts.y.log_scale.clamp_(min=math.log(self.y_floor))

    def outcome_mean(self, x: Tensor, t: Tensor) -> Tensor:
        """E[y | x, t] in the unit of y: (n, d_x), (n,) -> (n, d_y)."""
        weights = self._log_weights(x, t).exp()
        return self.shift + self.scale * (weights @ self._parts.y.loc[..., 0].T)

    def treatment_log_prob(self, x: Tensor, y: Tensor) -> Tensor:
        """log p(t | x, y), normalised over t: (n, d_x), (n, d_y) -> (n, K)."""
        pairs = self._gate(x) + self._log_outcome(y)
        log_t = self._parts.t.logits.log_softmax(dim=-1).view(1, -1, self.treatments)
        return torch.logsumexp(pairs.unsqueeze(-1) + log_t, dim=1).log_softmax(dim=-1)

    def outcome_log_prob(self, x: Tensor, t: Tensor, y: Tensor) -> Tensor:
        """log p(y | x, t), a density in the unit of y: (n, d_x), (n,), (n, d_y) -> (n,)."""
        pairs = self._log_weights(x, t) + self._log_outcome(y)
        return torch.logsumexp(pairs, dim=-1) - self.scale.log().sum()

    def outcome_quantiles(self, x: Tensor, t: Tensor, levels: Tensor) -> Tensor:
        """Quantiles of each outcome's own p(y_j | x, t): (n, d_x), (n,), (q,) in (0, 1) -> (n, d_y, q).

        By bisection on the distribution function of the mixture, between the smallest and the largest of its
        components' quantiles.
        """
        weights = self._log_weights(x, t).exp()
        loc, scale = self._parts.y.loc.detach(), self._parts.y.scale.detach()  # (d_y, D, 1)
        ends = loc + scale * torch.special.ndtri(levels)  # (d_y, D, q)
        low = ends.amin(dim=1).repeat(len(x), 1, 1)
        high = ends.amax(dim=1).repeat(len(x), 1, 1)
        for _ in range(HALVINGS):
            middle = (low + high) / 2
            mass = torch.einsum("nd,njdq->njq", weights, torch.special.ndtr((middle.unsqueeze(2) - loc) / scale))
            low, high = torch.where(mass < levels, middle, low), torch.where(mass < levels, high, middle)
        return self.shift.unsqueeze(-1) + self.scale.unsqueeze(-1) * (low + high) / 2

    def _normalise(self, y: Tensor) -> Tensor:
        return (y - self.shift) / self.scale

    def _table(self, x: Tensor, t: Tensor, y: Tensor) -> Tensor:
        """The columns of the circuit, (n, d_x + d_y + 1): x, normalised y, t. NaN tells spflow to sum a value out."""
        codes = torch.where(t >= 0, t, torch.nan).to(x.dtype)
        return torch.cat([x, self._normalise(y), codes.unsqueeze(-1)], dim=-1)

    def _gate(self, x: Tensor) -> Tensor:
        """g_d(x) of the module's docstring: (n, d_x) -> (n, D)."""
        roots = [self._parts.x_circuit.log_likelihood(rows)[:, 0, :, 0] for rows in x.split(ROWS_AT_A_TIME)]
        log_w, log_v = self.root.log_weights[0, :, 0, 0], self._parts.ty_circuit.log_weights[0, :, :, 0]  # (C), (D, C)
        return torch.logsumexp((torch.cat(roots) + log_w).unsqueeze(1) + log_v, dim=-1)

    def _log_weights(self, x: Tensor, t: Tensor) -> Tensor:
        """log r_d(x, t) of the module's docstring; a hidden t is summed out: (n, d_x), (n,) -> (n, D)."""
        table = self._table(x, t, x.new_zeros(len(x), self.d_y))
        return (self._gate(x) + self._parts.t.log_likelihood(table)[:, 0, :, 0]).log_softmax(dim=-1)

    def _log_outcome(self, y: Tensor) -> Tensor:
        """log N_d(y) with y normalised: (n, d_y) -> (n, D)."""
        table = torch.cat([y.new_zeros(len(y), self.d_x), self._normalise(y)], dim=-1)
        return self._parts.y.log_likelihood(table)[..., 0].sum(dim=1)


class ProbCircuit(Learner):
    """A circuit as a model: one run at a time.

    Args:
        lr: its own learning rate; None: the run's.
        For the others see `Circuit`.
    """

    stacks: ClassVar[bool] = False
    needs: ClassVar[Mapping[str, str]] = {"spflow": "circuit"}

    def __init__(
        self,
        sizes: Sizes,
        seeds: Sequence[int],
        stats: Sequence[StatsMode],
        components: Count,
        pairs: Count,
        depth: Annotated[int, Field(ge=0)],
        repetitions: Count,
        regions: Count,
        leaves: Count,
        x_floor: Positive,
        y_floor: Positive,
        lr: Positive | None,
    ) -> None:
        super().__init__(sizes, seeds, stats)
        shape = (components, pairs, depth, repetitions, regions, leaves)
        self.circuit = Circuit(*sizes, seeds[0], *shape, x_floor, y_floor)
        self.lr = lr

    def start(self, train: Batch) -> None:
        self.circuit.start(train.x[0], train.t[0], train.y[0])

    def objectives(self) -> list[Objective]:
        return [Objective("likelihood", list(self.circuit.parameters()), self.loss, lr=self.lr)]

    def loss(self, batch: Batch) -> Loss:
        """-mean log p(x, t, y)."""
        return Loss(self.circuit.loss(batch.x[0], batch.t[0], batch.y[0]).view(1), {})

    def after_step(self) -> None:
        self.circuit.constrain()

    def outcome_mean(self, x: Tensor, t: Tensor) -> Tensor:
        return self.circuit.outcome_mean(x[0], t[0]).unsqueeze(0)

    def treatment_log_prob(self, x: Tensor, y: Tensor) -> Tensor:
        return self.circuit.treatment_log_prob(x[0], y[0]).unsqueeze(0)

    def outcome_log_prob(self, x: Tensor, t: Tensor, y: Tensor) -> Tensor:
        return self.circuit.outcome_log_prob(x[0], t[0], y[0]).unsqueeze(0)

    def outcome_quantiles(self, x: Tensor, t: Tensor, levels: Tensor) -> Tensor:
        return self.circuit.outcome_quantiles(x[0], t[0], levels.to(x)).unsqueeze(0)
