"""What a model records while it trains, declared once: name, title, unit and meaning.

The declarations are stored with each run, so that reports can show the probes of any model without knowing it.
"""

from dataclasses import dataclass
from enum import StrEnum


class Tells(StrEnum):
    """The meaning of a probe; reports answer their key questions from probes other than LEVEL."""

    DISTANCE = "distance"  # distance of a running statistic from that of all training rows, in their sd
    REACH_TRAIN = "reach_train"  # largest |z| of a training row
    REACH_VAL = "reach_val"  # largest |z| of a validation row
    LEVEL = "level"  # anything else: it is drawn and listed


@dataclass(frozen=True)
class Probe:
    """One named number of a model, recorded after a step or an epoch.

    Attributes:
        name: column of history.csv.
        title: for display.
        unit: "sd", "nats", ...; "" for a pure number.
    """

    name: str
    title: str
    unit: str = ""
    tells: Tells = Tells.LEVEL
