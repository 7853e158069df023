"""Pictures, with matplotlib: of kernels, of predictions, of nonlinearities and of finite networks.

    import ntc.plot

    ntc.plot.kernel(program(x).nngp, labels=y)
    ntc.plot.activation("gelu")

Each function draws on `axes` if some are given, else on a new figure of pyplot, and returns the axes it has drawn on:
`.figure.savefig("k.png")`. matplotlib is optional: `pip install "neural-tangent-compiler[plot]"`.
"""

from __future__ import annotations

from ntc.plot.activations import activation, phases
from ntc.plot.finite import convergence
from ntc.plot.kernels import kernel, spectrum
from ntc.plot.predictions import calibration, confusion, learning_curve, posterior, predicted

__all__ = [
    "activation",
    "calibration",
    "confusion",
    "convergence",
    "kernel",
    "learning_curve",
    "phases",
    "posterior",
    "predicted",
    "spectrum",
]
