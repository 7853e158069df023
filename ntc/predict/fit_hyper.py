"""Hyperparameters of a program, by name, of largest marginal likelihood."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any

import jax
import numpy as np

from ntc.backends.jax.program import Program
from ntc.errors import InputError
from ntc.ir.types import Kernel
from ntc.predict.fit import Fit, fit

SPREAD = 1.0
"""Of the logarithms of length scales: as there are many, the likelihood alone fits noise with them."""


def fit_hyper(
    program: Program,
    x_train: Any,
    y_train: Any,
    diag_reg: Any = 1e-4,
    *,
    names: Sequence[str] | None = None,
    kernel: Kernel = "nngp",
    fit_diag_reg: bool = False,
    fit_scale: bool = False,
    length_scales: Any = None,
    max_iterations: int = 100,
    progress: Callable[[int, float], None] | None = None,
) -> Fit:
    """Maximises the log marginal likelihood over hyperparameters `hyper(...)` of a program.

    The start is what the program has, so `program.with_hyper(...)` changes it, and
    `program.with_hyper(found.parameters)` is the program with what was found.

    Args:
      program: of a network with hyperparameters; values of those that cannot be negative are positive.
      x_train: inputs (n, ...).
      y_train: (n, outputs).
      diag_reg: relative to the mean of the diagonal; positive if it is fitted as well.
      names: of the hyperparameters that are fitted; the others stay. None is all of them.
      kernel: the covariance of the Gaussian process.
      fit_diag_reg, fit_scale: as of `fit`.
      length_scales: positive numbers that inputs are divided by, of the shape of one of them or less: a start, from
        which they are fitted as well; they say what targets depend on (Rasmussen and Williams 2006, section 5.1). Their
        logarithms have a normal prior around the start, of standard deviation `SPREAD`.
      max_iterations: of the optimiser.
      progress: called with (iterations done, log marginal likelihood).

    Returns:
      `Fit`, whose parameters are numbers by name.

    Raises:
      InputError: there are no such hyperparameters, the program lacks the kernel, or as `fit`.
    """
    chosen = tuple(program.hyper) if names is None else tuple(names)
    _check(program, chosen, kernel, length_scales is not None)
    start: dict[str, Any] = {"hyper": {name: program.hyper[name] for name in chosen}}
    signed: dict[str, Any] = {"hyper": {name: program.network.hypers[name].low < 0 for name in chosen}}
    spread: dict[str, Any] = {"hyper": dict.fromkeys(chosen, np.inf)}
    if length_scales is not None:
        start["length_scales"] = np.asarray(length_scales, np.float64)
        signed["length_scales"], spread["length_scales"] = False, SPREAD
    options: Any = {"fit_diag_reg": fit_diag_reg, "fit_scale": fit_scale, "signed": signed, "spread": spread}
    options |= {"max_iterations": max_iterations, "progress": progress}
    compiled = _compiled(program, kernel)
    found = fit(lambda values: compiled(values, x_train), start, y_train, diag_reg, **options)
    numbers = {name: float(value) for name, value in found.parameters["hyper"].items()}
    scales = found.parameters.get("length_scales")
    return replace(found, parameters=numbers, length_scales=None if scales is None else np.asarray(scales))


def _check(program: Program, names: tuple[str, ...], kernel: Kernel, others: bool) -> None:
    """Raises InputError unless there is something to fit, and the program knows it."""
    known = program.hyper
    unknown = [name for name in names if name not in known]
    if unknown or not (names or others):
        raise InputError(
            f"names should be hyperparameters of the network, got {', '.join(unknown) or 'none'}",
            hint=f"it has {', '.join(known)}" if known else "write w_std = hyper(1.5) in the network",
        )
    if kernel not in program.kernels:
        raise InputError(
            f"the program does not compute the {kernel} kernel", hint=f"build it with kernels=({kernel!r},)"
        )


@lru_cache(maxsize=8)
def _compiled(program: Program, kernel: Kernel) -> Callable[[dict[str, Any], Any], Any]:
    """The kernel as a function of parameters and inputs, compiled once for all steps, and all fits of one size."""

    def kernel_of(values: dict[str, Any], x: Any) -> Any:
        if "length_scales" in values:
            x = x / values["length_scales"].astype(x.dtype)
        return getattr(program(x, hyper=values["hyper"]), kernel)

    return jax.jit(kernel_of)
