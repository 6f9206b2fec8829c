"""One audit of a checked config: measurements, findings and forecast, also as JSON."""

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from ssc_sweep.audit import forecast as forecasts
from ssc_sweep.audit.characteristics import ColumnAudit, measure
from ssc_sweep.audit.findings import Finding, findings
from ssc_sweep.audit.rows import look
from ssc_sweep.config import RunConfig
from ssc_sweep.data.splitting import DataSplit
from ssc_sweep.lines import counted


@dataclass(frozen=True)
class Audit:
    """What is known of a split before anything trains.

    Attributes:
        characteristics: by name; see `definitions`.
        findings: the worst first.
        columns: one per covariate, in the order of the table.
        notes: how the data were read, a line each.
        model: the choice of the config.
        p_fail, reasons: the forecast for that model; None if it has no fitted coefficients.
    """

    data: DataSplit
    characteristics: dict[str, float]
    findings: tuple[Finding, ...]
    columns: tuple[ColumnAudit, ...]
    notes: tuple[str, ...] = ()
    model: str = ""
    p_fail: float | None = None
    reasons: tuple[str, ...] = ()


def audit(config: RunConfig, extra: Mapping[str, Any] | None = None) -> Audit:
    """Audit the rows of a run.

    Args:
        extra: keys of the data set besides its arguments, such as clamp.

    Raises:
        UserError: these data cannot be audited.
    """
    seen = look(config)
    measured = measure(seen.data)
    found = findings(measured, config, seen.faults, extra)
    model = forecasts.model_name(config.model)
    known = forecasts.telling(forecasts.read(), model)
    p_fail, reasons = forecasts.forecast(measured.characteristics, known) if known else (None, ())
    return Audit(seen.data, measured.characteristics, found, measured.columns, seen.notes, model, p_fail, reasons)


def title(audited: Audit, config: RunConfig) -> str:
    """Return what was audited, in one line."""
    c = audited.characteristics
    order = "file order" if config.split.order == "file_order" else "shuffled"
    if config.dataset_size.rows is not None:
        order = "rows drawn at random"
    read, seen = len(audited.columns), int(c["columns"])
    columns = counted(seen, "column")
    if read != seen:
        columns = f"{counted(read, 'covariate')}, {columns} with indicators"
    return (
        f"{audited.data.cohort.name}, {order}: {c['rows_train']:,.0f} rows train, "
        f"{c['rows_validation']:,.0f} validate, {columns}"
    )


def as_json(audited: Audit, config: RunConfig) -> str:
    """Return the audit as JSON; a missing number is null. A model without a forecast is left out."""
    content: dict[str, Any] = {
        "audit": title(audited, config),
        "characteristics": {name: _number(value) for name, value in audited.characteristics.items()},
        "findings": [asdict(finding) for finding in audited.findings],
        "columns": [{key: _number(value) for key, value in asdict(column).items()} for column in audited.columns],
        "notes": list(audited.notes),
    }
    if audited.p_fail is not None:
        content |= {"model": audited.model, "p_fail": audited.p_fail, "reasons": list(audited.reasons)}
    return json.dumps(content, indent=1, allow_nan=False, ensure_ascii=False)


def _number(value: object) -> object:
    return None if isinstance(value, float) and not math.isfinite(value) else value
