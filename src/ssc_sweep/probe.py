"""What a model records while it trains, declared once: its name, title and unit, and what it tells.

The declarations are stored with each run, so that reports can show any model's probes without knowing the model.
"""

from dataclasses import dataclass
from enum import StrEnum


class Tells(StrEnum):
    """What a probe tells; the key questions of a report are answered from those that tell something."""

    DISTANCE = "distance"  # how far a running statistic lies from that of all training rows, in their sd
    REACH_TRAIN = "reach_train"  # largest |z| of a training row
    REACH_VAL = "reach_val"  # largest |z| of a validation row
    LEVEL = "level"  # anything else: it is drawn and listed


@dataclass(frozen=True)
class Probe:
    """One named number of a model, recorded after a step or an epoch.

    Attributes:
        name: column of history.csv.
        title: what people read.
        unit: "sd", "nats", ...; "" for a pure number.
    """

    name: str
    title: str
    unit: str = ""
    tells: Tells = Tells.LEVEL
