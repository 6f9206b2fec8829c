"""Networks of a stack, worked out one run and one layer at a time."""

import torch
from torch import Tensor


def plain(network: torch.nn.Module, run: int, x: Tensor) -> Tensor:
    """One run's network, layer by layer."""
    layers = list(network.layers)  # type: ignore[arg-type]
    for i, layer in enumerate(layers):
        x = x @ layer.weight[run] + layer.bias[run, 0]
        x = x if i == len(layers) - 1 else x.clamp(min=0)
    return x
