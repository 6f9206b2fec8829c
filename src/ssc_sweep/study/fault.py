"""A planted fault as the study knows it: its name, and the hypotheses that ought to name it."""

from omegaconf import DictConfig, OmegaConf
from pydantic import Field

from ssc_sweep.errors import UserError
from ssc_sweep.schema import Section


class Fault(Section):
    """What a YAML in conf/fault says of itself; what it plants stands in the groups of a run."""

    name: str = Field(description="of the YAML")
    named_by: list[str] = Field(description="hypotheses of which any names it; []: nothing is planted")


def read_fault(cfg: DictConfig) -> Fault | None:
    """The fault of a composed config; None where it has none.

    Raises:
        UserError: it does not say which hypotheses name it.
    """
    if cfg.get("fault") is None:
        return None
    node = OmegaConf.to_container(cfg.fault, resolve=True)
    given = {"named_by": node["named_by"]} if isinstance(node, dict) and "named_by" in node else {}
    return Fault.read({"name": str(cfg.hydra.runtime.choices.get("fault") or "unnamed")} | given, "fault")


def note(faults: dict[str, Fault], control: str, fault: Fault | None) -> None:
    """Note the fault of the point of a grid that has this control.

    Raises:
        UserError: a point with another fault has the same config.
    """
    if fault is not None and (other := faults.setdefault(control, fault)) != fault:
        raise UserError(
            f"fault={fault.name} has the config of fault={other.name} ({control}), and a fault has to change "
            "something. Leave one of them out."
        )
