"""flow_ssc for one run, written plainly with nflows: what ours is compared with, in numbers and in speed.

It shares no code with ours. Couplings that transform nothing and the untrained flow over x are kept, as published.
"""

import warnings
from itertools import chain
from typing import NamedTuple

import torch
from nflows.distributions.normal import StandardNormal
from nflows.flows.base import Flow
from nflows.nn.nets import ResidualNet
from nflows.transforms.base import CompositeTransform
from nflows.transforms.coupling import AffineCouplingTransform
from nflows.transforms.permutations import ReversePermutation
from torch import Tensor, nn

from ssc_sweep.models import layers
from ssc_sweep.models.flow_ssc import FlowSSC


class Coupling(AffineCouplingTransform):
    """z = y * (sigmoid(u + 2) + 0.001) + 5 tanh(v); the first half of the conditioner's output is v, the second u."""

    def _scale_and_shift(self, transform_params: Tensor) -> tuple[Tensor, Tensor]:
        v = transform_params[:, : self.num_transform_features]
        u = transform_params[:, self.num_transform_features :]
        return torch.sigmoid(u + 2) + 1e-3, 5 * torch.tanh(v)


def coupling_flow(d: int, d_context: int | None, couplings: int, width: int) -> Flow:
    """Return p(y | context): coupling i passes the dimensions with the parity of i and moves the others."""

    def conditioner(d_in: int, d_out: int) -> nn.Module:
        return ResidualNet(d_in, d_out, hidden_features=width, context_features=d_context, num_blocks=2)

    transforms: list[nn.Module] = []
    for i in range(couplings):
        mask = [int(j % 2 != i % 2) for j in range(d)]
        with warnings.catch_warnings():
            # A coupling that moves nothing has a last layer without outputs.
            warnings.filterwarnings("ignore", message="Initializing zero-element tensors")
            transforms += [Coupling(mask, conditioner), ReversePermutation(d)]
    return Flow(CompositeTransform(transforms), StandardNormal([d]))


class Reference(nn.Module):
    """See the module. Shapes: x (B, d_x), t (B,) with -1 where hidden, y (B, d_y)."""

    x_shift: Tensor
    x_scale: Tensor
    y_shift: Tensor
    y_scale: Tensor

    def __init__(
        self, d_x: int, d_y: int, treatments: int, precomputed: bool = False, width: int = 128, x_width: int = 64
    ) -> None:
        super().__init__()
        self.treatments, self.precomputed, self.first = treatments, precomputed, True
        for name, d in (("x", d_x), ("y", d_y)):
            self.register_buffer(f"{name}_shift", torch.zeros(d))
            self.register_buffer(f"{name}_scale", torch.ones(d))
        self.classifier = nn.Sequential(
            nn.Linear(d_x, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU(), nn.Linear(width, treatments)
        )
        self.y_flow = coupling_flow(d_y, d_x + treatments, couplings=6, width=width)
        self.x_flow = coupling_flow(d_x, None, couplings=3, width=x_width)

    def start(self, x: Tensor, y: Tensor) -> None:
        """See all training rows once."""
        if self.precomputed:
            self._move(x, y, 1.0)

    def before_step(self, x: Tensor, y: Tensor) -> None:
        """See the rows of a step."""
        if not self.precomputed:
            self._move(x, y, 1.0 if self.first else 0.05)
            self.first = False

    @torch.no_grad()
    def _move(self, x: Tensor, y: Tensor, weight: float) -> None:
        for rows, shift, scale in ((x, self.x_shift, self.x_scale), (y, self.y_shift, self.y_scale)):
            shift.copy_((1 - weight) * shift + weight * rows.mean(0))
            scale.copy_((1 - weight) * scale + weight * rows.std(0, unbiased=False).clamp(min=1e-6))

    def normalise(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        return (x - self.x_shift) / self.x_scale, (y - self.y_shift) / self.y_scale

    def context(self, x: Tensor, t: Tensor) -> Tensor:
        """Normalised x and the indicator of t."""
        return torch.cat([x, nn.functional.one_hot(t, self.treatments).to(x.dtype)], dim=1)

    def ll_y(self, x: Tensor, t: Tensor, y: Tensor) -> Tensor:
        """log p(y | x, t) of normalised rows: (B,)."""
        return self.y_flow.log_prob(y, self.context(x, t))

    def loss(self, x: Tensor, t: Tensor, y: Tensor) -> Tensor:
        x, y = self.normalise(x, y)
        with torch.no_grad():
            ll_x = self.x_flow.log_prob(x)
        seen, hidden = t >= 0, t < 0
        total = x.new_zeros(())
        if seen.any():
            ll_y = self.ll_y(x[seen], t[seen], y[seen]).clamp(min=-100)
            cross_entropy = nn.functional.cross_entropy(self.classifier(x[seen]), t[seen])
            total = total - (ll_x[seen] + ll_y).mean() + cross_entropy
        if hidden.any():
            log_p_t = torch.log_softmax(self.classifier(x[hidden]), dim=1)
            joint = [
                log_p_t[:, k] + self.ll_y(x[hidden], torch.full_like(t[hidden], k), y[hidden]).clamp(min=-100)
                for k in range(self.treatments)
            ]
            total = total - (ll_x[hidden] + torch.logsumexp(torch.stack(joint, dim=1), dim=1)).mean()
        return total

    @torch.no_grad()
    def outcome_samples(self, x: Tensor, t: Tensor, noise: Tensor) -> Tensor:
        """Outcomes in their unit, one for each of the noises (S, d_y), for every row: (S, B, d_y)."""
        context = self.context((x - self.x_shift) / self.x_scale, t)
        samples, _ = self.y_flow._transform.inverse(
            noise.repeat_interleave(len(x), dim=0), context.repeat(len(noise), 1)
        )
        return samples.view(len(noise), len(x), -1) * self.y_scale + self.y_shift


def couplings(flow: Flow) -> list[Coupling]:
    return [transform for transform in flow._transform._transforms if isinstance(transform, Coupling)]


class Piece(NamedTuple):
    """Columns of one of our parameters (M, d_in or 1, d_out), and the inputs of torch's (d_out, d_in) or (d_out,)."""

    ours: nn.Parameter
    theirs: nn.Parameter
    columns: slice = slice(None)
    inputs: slice = slice(None)

    def of_ours(self, member: Tensor) -> Tensor:
        """The piece of a tensor like one member of our parameter."""
        return member[:, self.columns]

    def of_theirs(self, tensor: Tensor) -> Tensor:
        """The same piece of a tensor like their parameter, in our layout."""
        return tensor[None] if tensor.ndim == 1 else tensor[:, self.inputs].T

    @torch.no_grad()
    def copy(self, member: int) -> None:
        """Give their parameter the values of one member of ours."""
        to, values = self.of_theirs(self.theirs), self.of_ours(self.ours[member])
        assert to.shape == values.shape
        to.copy_(values)


def linear_pieces(
    ours: layers.StackedLinear, theirs: nn.Linear, columns: slice = slice(None), inputs: slice = slice(None)
) -> list[Piece]:
    return [Piece(ours.weight, theirs.weight, columns, inputs), Piece(ours.bias, theirs.bias, columns)]


def residual_net_pieces(ours: layers.ResidualNet, theirs: nn.Module) -> list[Piece]:
    """Return each of our weights with its counterpart in nflows' ResidualNet; its first layer reads (x, context)."""
    d_in = 0 if ours.input is None else ours.input.shape[1]
    first, *gates = [slice(start, start + ours.width) for start in range(0, ours.context.bias.shape[2], ours.width)]
    pieces = linear_pieces(ours.context, theirs.initial_layer, first, slice(d_in, None))
    if ours.input is not None:
        pieces.append(Piece(ours.input, theirs.initial_layer.weight, inputs=slice(d_in)))
    for i, (block, their_block) in enumerate(zip(ours.blocks, theirs.blocks, strict=True)):
        pieces += linear_pieces(block.first, their_block.linear_layers[0])
        pieces += linear_pieces(block.second, their_block.linear_layers[1])
        if gates:
            pieces += linear_pieces(ours.context, their_block.context_layer, gates[i])
    return [*pieces, *linear_pieces(ours.last, theirs.final_layer)]


def all_pieces(ours: FlowSSC, theirs: Reference) -> list[Piece]:
    """Return all weights of our model, built with inert=True, with their counterparts."""
    their_layers = [layer for layer in theirs.classifier if isinstance(layer, nn.Linear)]
    parts = [linear_pieces(*pair) for pair in zip(ours.classifier.layers, their_layers, strict=True)]
    parts += [
        residual_net_pieces(net, coupling.transform_net)
        for flow, their_flow in ((ours.y_flow, theirs.y_flow), (ours.x_flow, theirs.x_flow))
        for net, coupling in zip(flow.nets, couplings(their_flow), strict=True)
    ]
    return list(chain.from_iterable(parts))


def copy_weights(ours: FlowSSC, run: int, theirs: Reference) -> None:
    """Give the reference the weights of run `run` of a model built with inert=True."""
    for piece in all_pieces(ours, theirs):
        piece.copy(run)
