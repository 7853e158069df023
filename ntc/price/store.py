"""Measured rates in the user's cache directory."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

from platformdirs import user_cache_path
from pydantic import TypeAdapter, ValidationError

from ntc.errors import InputError, ParameterError
from ntc.files import write_text
from ntc.ir.types import Target
from ntc.price.rates import ACCELERATORS, CORE, Rates

VERSION = 1
"""Of the file; rates of another version of the cost model mean something else."""

_LARGEST = 2**16
_HINT = "run `ntc calibrate` again"


def rates_path(target: Target) -> Path:
    """Where the rates of this machine's device are."""
    return user_cache_path("ntc") / f"rates-{target}.json"


def write_rates(rates: Rates) -> Path:
    """Writes rates that were measured here; the file appears whole or not at all."""
    path = rates_path(rates.target)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, json.dumps({"version": VERSION, "rates": asdict(rates)}, indent=1))
    return path


def read_rates(target: Target) -> Rates | None:
    """What was measured here; None if nothing was. Raises InputError for a damaged file."""
    path = rates_path(target)
    if not path.exists():
        return None
    try:
        found = json.loads(path.read_bytes()[:_LARGEST])
        if found["version"] != VERSION:
            raise InputError(f"{path} is of version {found['version']}, not {VERSION}", hint=_HINT)
        rates = TypeAdapter(Rates).validate_json(json.dumps(found["rates"]))
    except InputError:
        raise
    except (ValueError, KeyError, TypeError, ValidationError) as error:
        problem = str(error).splitlines()[0]
        raise InputError(f"{path} does not hold rates of a device: {problem}", hint=_HINT) from None
    if rates.target != target:
        raise InputError(f"{path} holds rates of {rates.target}", hint=_HINT)
    return rates


def known_rates(device: str) -> Rates:
    """The rates of cpu, cuda, tpu (of this machine) or of an accelerator by name. Raises ParameterError."""
    if device in ACCELERATORS:
        return ACCELERATORS[device]
    if device == "cpu":
        return read_rates("cpu") or CORE
    found = read_rates(device) if device in ("cuda", "tpu") else None  # type: ignore[arg-type]
    if found is None:
        names = ", ".join(ACCELERATORS)
        raise ParameterError(
            f"nothing is known of the speed of {device}",
            hint=f"name one of {names}, or run `ntc calibrate --target {device}` where it is",
        )
    return found
