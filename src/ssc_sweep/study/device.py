"""Choose the device that trains."""

import torch

from ssc_sweep.errors import UserError


def chosen_device(wanted: str) -> str:
    """Return "cpu" or "cuda"; "auto" means cuda if there is one.

    Raises:
        UserError: there is no such device.
    """
    there = torch.cuda.is_available()
    if wanted == "cuda" and not there:
        raise UserError("device=cuda: torch finds no such device here. Use device=cpu, or install torch for CUDA.")
    return "cuda" if there and wanted != "cpu" else "cpu"
