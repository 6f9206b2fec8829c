"""Memory of a stack: the estimate that stacks are cut by, against the measured peak.

    python -m tests.bench.peak

Each case trains one stack in a fresh process with one thread, and compares how far its peak of resident memory rises
above what it had before with `ssc_sweep.study.memory`.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

CASES = {
    "flow_ssc, R=16": (16, ["epochs=1"]),
    "flow_ssc, R=64": (64, ["epochs=1"]),
    "flow_ssc, R=16, shuffled": (16, ["epochs=1", "split=shuffled"]),
    "flow_ssc, R=16, batch 64": (16, ["epochs=1", "batch=b64"]),
    "flow_ssc, R=16, float64": (16, ["epochs=1", "precision=float64"]),
    "flow_ssc, R=8, width 512": (8, ["epochs=1", "model.width=512", "dataset_size=n100"]),
    "flow_ssc, R=16, half hidden": (16, ["epochs=1", "labels=half_mcar"]),
    "mean_teacher, R=64": (64, ["epochs=1", "model=mean_teacher"]),
    "ganite, R=64": (64, ["epochs=1", "model=ganite"]),
    "linear, R=64, shuffled": (64, ["model=linear", "split=shuffled"]),
    "mean_teacher, 200,000 rows, R=8, shuffled": (
        8, ["model=mean_teacher", "epochs=1", "dataset=synthetic", "dataset.rows=200000", "batch.size=1000",
            "split=shuffled"],
    ),
}  # fmt: skip


def measure(runs: int, words: list[str]) -> tuple[float, float]:
    """(estimate, measured rise of the peak) of one stack, MiB."""
    # Imported here: the parent only compares.
    import psutil
    import torch
    from hydra import compose, initialize_config_dir

    from ssc_sweep.config import conf_dir
    from ssc_sweep.study.channel import Silent
    from ssc_sweep.study.execute import run_stack
    from ssc_sweep.study.job import Stack, make_job
    from ssc_sweep.study.prepare import prepare

    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder, initialize_config_dir(str(conf_dir())):
        jobs = []
        for seed in range(runs):
            cfg = compose("config", [f"outputs={folder}", "study=s", "arm=a", *words, f"seed={seed}"])
            jobs.append(make_job(cfg, words))
        (group,) = prepare(jobs[:1]).groups
        # A small stack first, so that what torch allocates once is not counted.
        run_stack(Stack((make_job(compose("config", [f"outputs={folder}", "study=w", *WARM]), ()),)), Silent())
        before = psutil.Process().memory_info().rss
        Path("/proc/self/clear_refs").write_text("5")  # the peak counts from here
        run_stack(Stack(tuple(jobs)), Silent())
        status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
        peak = int(status["VmHWM"].split()[0]) * 1024
    return (group.bytes_once + runs * group.bytes_each) / 2**20, (peak - before) / 2**20


WARM = ["epochs=1", "dataset_size=n100", "model.width=8"]


def main() -> None:
    print(f"{'':45}{'estimate':>10}{'measured':>10}   MiB    estimate / measured")
    for name, (runs, words) in CASES.items():
        call = [sys.executable, "-m", "tests.bench.peak", str(runs), *words]
        told = subprocess.run(call, capture_output=True, text=True, check=True)
        estimate, measured = json.loads(told.stdout.splitlines()[-1])
        ratio = estimate / measured
        print(f"{name:45}{estimate:10.0f}{measured:10.0f}{ratio:15.2f}{'' if 0.7 <= ratio <= 1.3 else '   missed'}")


if __name__ == "__main__":
    if len(sys.argv) > 1:
        print(json.dumps(measure(int(sys.argv[1]), sys.argv[2:])))
    else:
        main()
