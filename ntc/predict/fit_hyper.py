"""Hyperparameters of a program, by name, of largest marginal likelihood."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from ntc.backends.jax.program import Program
from ntc.errors import InputError
from ntc.ir.types import Kernel
from ntc.predict.fit import Fit, fit


def fit_hyper(
    program: Program,
    x_train: Any,
    y_train: Any,
    diag_reg: Any = 1e-4,
    *,
    names: Sequence[str] | None = None,
    kernel: Kernel = "nngp",
    fit_diag_reg: bool = False,
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
      fit_diag_reg: it is fitted like the others.
      max_iterations: of the optimiser.
      progress: called with (iterations done, log marginal likelihood).

    Returns:
      `Fit`, whose parameters are numbers by name.

    Raises:
      InputError: there are no such hyperparameters, the program lacks the kernel, or as `fit`.
    """
    known = program.hyper
    chosen = tuple(known) if names is None else tuple(names)
    unknown = [name for name in chosen if name not in known]
    if unknown or not chosen:
        raise InputError(
            f"names should be hyperparameters of the network, got {', '.join(unknown) or 'none'}",
            hint=f"it has {', '.join(known)}" if known else "write w_std = hyper(1.5) in the network",
        )
    if kernel not in program.kernels:
        raise InputError(
            f"the program does not compute the {kernel} kernel", hint=f"build it with kernels=({kernel!r},)"
        )

    def kernel_of(values: dict[str, Any]) -> Any:
        return getattr(program(x_train, hyper=values), kernel)

    start = {name: known[name] for name in chosen}
    options: Any = {"fit_diag_reg": fit_diag_reg, "max_iterations": max_iterations, "progress": progress}
    signed = {name: program.network.hypers[name].low < 0 for name in chosen}
    found = fit(kernel_of, start, y_train, diag_reg, signed=signed, **options)
    numbers = {name: float(value) for name, value in found.parameters.items()}
    return replace(found, parameters=numbers)
