import numpy as np

from ssc_sweep.streams import stream


def test_a_stream_starts_anew_each_time() -> None:
    assert stream(3, "batches").random() == stream(3, "batches").random()


def test_streams_differ_by_seed_and_by_name() -> None:
    draws = [stream(seed, name).random() for seed in range(20) for name in ("split", "labels", "init", "batches")]
    assert len(set(draws)) == len(draws)


def test_streams_of_one_seed_are_uncorrelated() -> None:
    a, b = stream(0, "init").standard_normal(20_000), stream(0, "noise").standard_normal(20_000)
    assert abs(np.corrcoef(a, b)[0, 1]) < 4 / np.sqrt(20_000)
