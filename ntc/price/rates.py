"""Seconds per unit of work, of a device that was measured or of one that is known from its data sheet."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

from pydantic import Field

from ntc.ir.schema import frozen
from ntc.ir.types import Target
from ntc.ir.work import Work

Amount = Annotated[float, Field(ge=0, le=1e18)]


@frozen
class Rates:
    """What the units of `Work` take on one device.

    Attributes:
      name: of the device.
      target: its platform.
      source: where the numbers are from.
      measured: whether they were measured on the device.
      additions, roots, transcendentals, products, loop_bytes, bytes, steps, calls: seconds per unit, see `Work`.
      program: seconds to compile a program; computation: and for each of its computations.
      runtime: bytes of a process that has run a small program.
      compiled: further bytes for each computation of a program.
    """

    name: str
    target: Target
    source: str
    measured: bool
    additions: Amount
    roots: Amount
    transcendentals: Amount
    products: Amount
    loop_bytes: Amount
    bytes: Amount
    steps: Amount
    calls: Amount
    program: Amount
    computation: Amount
    runtime: Amount
    compiled: Amount

    def seconds(self, work: Work) -> float:
        """Of one worker for some work."""
        return float(sum(getattr(self, kind) * amount for kind, amount in vars(work).items()))


EFFICIENCY = 0.35
"""Part of peak speed and bandwidth that programs are taken to reach on accelerators; an assumption."""


def accelerator(name: str, target: Target, tflops: float, terabytes: float, source: str) -> Rates:
    """Rates from peak float32 speed outside matrix units, in 1e12 operations per second, and bandwidth, in 1e12
    bytes per second, both times EFFICIENCY. Roots count as 4, transcendental functions as 16 operations."""
    operation, byte = 1e-12 / (EFFICIENCY * tflops), 1e-12 / (EFFICIENCY * terabytes)
    return Rates(
        name=name,
        target=target,
        source=source,
        measured=False,
        additions=operation,
        roots=4 * operation,
        transcendentals=16 * operation,
        products=2 * operation,
        loop_bytes=byte,
        bytes=byte,
        steps=5e-6,
        calls=1e-4,
        program=2.0,
        computation=0.05,
        runtime=0.0,
        compiled=0.0,
    )


_NVIDIA = "NVIDIA data sheet of the"
_CLOUD = "Google Cloud TPU documentation; vector unit taken as a 32nd of the bfloat16 peak"

ACCELERATORS: Mapping[str, Rates] = {
    "v100": accelerator("v100", "cuda", 15.7, 0.9, f"{_NVIDIA} V100 SXM2"),
    "a100": accelerator("a100", "cuda", 19.5, 2.039, f"{_NVIDIA} A100 80GB SXM"),
    "h100": accelerator("h100", "cuda", 67.0, 3.35, f"{_NVIDIA} H100 SXM"),
    "h200": accelerator("h200", "cuda", 67.0, 4.8, f"{_NVIDIA} H200 SXM"),
    "rtx4090": accelerator("rtx4090", "cuda", 82.6, 1.008, "NVIDIA Ada GPU architecture, appendix A"),
    "tpu-v4": accelerator("tpu-v4", "tpu", 275 / 32, 1.2, _CLOUD),
    "tpu-v5e": accelerator("tpu-v5e", "tpu", 197 / 32, 0.819, _CLOUD),
    "tpu-v5p": accelerator("tpu-v5p", "tpu", 459 / 32, 2.765, _CLOUD),
    "tpu-v6e": accelerator("tpu-v6e", "tpu", 918 / 32, 1.638, _CLOUD),
}
"""Known from their data sheets; nothing of it was measured with ntc."""

CORE = Rates(
    name="cpu",
    target="cpu",
    source="a core with AVX2 at about 2.6 GHz; not this machine",
    measured=False,
    additions=4e-11,
    roots=3e-10,
    transcendentals=2e-9,
    products=4e-11,
    loop_bytes=2e-11,
    bytes=1.5e-10,
    steps=2e-6,
    calls=1e-3,
    program=0.3,
    computation=0.03,
    runtime=2.4e8,
    compiled=1e6,
)
"""Of one core, where nothing was measured."""
