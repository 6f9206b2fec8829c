"""RMSE of runs that fail as real ones do, for simulated studies."""

import math

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def real_noise(rng: np.random.Generator, shape: tuple[int, ...], clamped: float = 0.4) -> Floats:
    """RMSE (kg) like that of real failing runs: a share near 99, where predictions hit their bound, others near 32."""
    stuck, free = rng.normal(99, 2.5, shape), 32 * np.exp(rng.normal(0, 0.45, shape))
    return np.where(rng.random(shape) < clamped, stuck, free)


def log_mean(clamped: float) -> float:
    """Mean of the log of `real_noise`."""
    return clamped * (math.log(99) - 0.5 * (2.5 / 99) ** 2) + (1 - clamped) * math.log(32)
