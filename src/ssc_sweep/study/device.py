"""Which device trains."""

import torch

from ssc_sweep.errors import UserError


def chosen_device(wanted: str) -> str:
    """ "cpu" or "cuda", where "auto" is cuda if there is one.

    Raises:
        UserError: there is no such device.
    """
    there = torch.cuda.is_available()
    if wanted == "cuda" and not there:
        raise UserError("device=cuda: torch finds no such device here. Use device=cpu, or install torch for CUDA.")
    return "cuda" if there and wanted != "cpu" else "cpu"
