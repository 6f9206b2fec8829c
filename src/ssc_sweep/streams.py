"""Independent named random streams of one run.

A run has one seed, and everything random in it (which rows train, which treatments are hidden, initial weights,
order of batches, sampling) draws from its own stream. So a change in one place - another batch size, a probe that
samples, one more layer - leaves all others unchanged, and two arms with the same seed are a true pair.

The streams are numpy's: they do not depend on the precision or the device that a run trains with.
"""

import zlib

import numpy as np


def stream(seed: int, name: str) -> np.random.Generator:
    """Return the generator of stream `name` of run `seed`, always at its start.

    The two are hashed together by `numpy.random.SeedSequence`, whose spawn keys give independent streams.

    The same stream begins at the same number, and another name has nothing to do with it:

    >>> first = stream(3, "split").permutation(100).tolist()
    >>> stream(3, "split").permutation(100).tolist() == first, stream(3, "weights").permutation(100).tolist() == first
    (True, False)
    """
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(zlib.crc32(name.encode()),)))
