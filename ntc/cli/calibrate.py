"""ntc calibrate: how fast this machine is."""

from __future__ import annotations

import json
from dataclasses import asdict

from rich.console import Console

from ntc.cli import options
from ntc.cli.console import reporting
from ntc.price import write_rates


def calibrate_command(target: options.TargetOption = "cpu", as_json: options.Json = False) -> None:
    """Measure the speed of this machine, for the predictions of `ntc explain --n`; takes about half a minute."""
    from ntc.calibrate import calibrate

    with reporting() as report:
        rates, ratios = calibrate(target, lambda done, total: report("calibrate", done, total))
    path = write_rates(rates)
    if as_json:
        print(json.dumps({"path": str(path), "rates": asdict(rates), "ratios": dict(ratios)}))
        return
    console = Console(highlight=False, soft_wrap=True)
    worst = max(ratios.values(), key=lambda ratio: max(ratio, 1 / ratio))
    console.print(f"{path}: rates of {rates.name}; of {len(ratios)} programs, the worst is predicted {worst:.2f} times")
