"""A planted fault of a study: its name, and the hypotheses that should detect it."""

from omegaconf import DictConfig, OmegaConf
from pydantic import Field

from ssc_sweep.errors import UserError
from ssc_sweep.schema import Section


class Fault(Section):
    """The description in a YAML of conf/fault; what it plants is in a run's config groups."""

    name: str = Field(description="of the YAML")
    named_by: list[str] = Field(
        description="hypotheses that should detect this fault (any one is enough); []: no fault is planted"
    )


def read_fault(cfg: DictConfig) -> Fault | None:
    """Read the fault of a composed config; None if it has none.

    Raises:
        UserError: it does not say which hypotheses should detect it.
    """
    if cfg.get("fault") is None:
        return None
    node = OmegaConf.to_container(cfg.fault, resolve=True)
    given = {"named_by": node["named_by"]} if isinstance(node, dict) and "named_by" in node else {}
    return Fault.read({"name": str(cfg.hydra.runtime.choices.get("fault") or "unnamed")} | given, "fault")


def note(faults: dict[str, Fault], control: str, fault: Fault | None) -> None:
    """Record the fault of the grid point with this control.

    Raises:
        UserError: a point with another fault has the same config.
    """
    if fault is not None and (other := faults.setdefault(control, fault)) != fault:
        raise UserError(
            f"fault={fault.name} has the config of fault={other.name} ({control}), and a fault has to change "
            "something. Leave one of them out."
        )
