"""ntc kernel --monte-carlo: kernels estimated from random finite networks, with their standard errors."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import numpy.typing as npt
import typer

from ntc.cli import files
from ntc.cli.console import reporting
from ntc.ir.types import Kernel

if TYPE_CHECKING:
    from ntc.backends.jax.program import Program
    from ntc.finite.monte_carlo import MonteCarloEstimate

Networks = Annotated[
    int | None,
    typer.Option(
        "--monte-carlo",
        min=2,
        help="Estimate the kernels from so many random networks, as wide as the model says; of any layers.",
    ),
]
Precision = Annotated[
    float | None,
    typer.Option(
        "--precision",
        min=1e-9,
        help="With --monte-carlo, stop when all standard errors are below this part of the largest entry.",
    ),
]
Seed = Annotated[int | None, typer.Option("--seed", min=0, help="With --monte-carlo, of the networks; default: 0.")]


def estimate(
    program: Program,
    arguments: dict[str, Any],
    output: Path | None,
    kernels: tuple[Kernel, ...] | None,
    networks: int,
    precision: float | None,
    seed: int | None,
    as_json: bool,
) -> None:
    """Estimates the matrices of the result of the network and writes them, with their standard errors."""
    assert output is not None
    wanted = kernels or ("nngp", "ntk")
    start = time.perf_counter()
    found = sampled(program, arguments, wanted, networks, precision, seed or 0)
    matrices = {name: np.asarray(found.mean[name]) for name in wanted}
    errors = {name: np.asarray(found.standard_error[name]) for name in wanted}
    files.write_arrays(output, matrices | {f"{name}_standard_error": errors[name] for name in wanted})
    shares = {name: _share(errors[name], matrices[name]) for name in wanted}
    seconds = time.perf_counter() - start
    if as_json:
        shapes = {name: list(value.shape) for name, value in matrices.items()}
        found_all = {"output": str(output), "shapes": shapes, "networks": found.samples, "standard_errors": shares}
        print(json.dumps(found_all | {"seconds": seconds}))
        return
    listed = ", ".join(f"{name} {value.shape} within {shares[name]:.2%}" for name, value in matrices.items())
    print(f"{output}: {listed} of {found.samples} networks in {seconds:.1f} s")
    print("within: the largest standard error, in parts of the largest entry")


def sampled(
    program: Program,
    arguments: dict[str, Any],
    wanted: tuple[Kernel, ...],
    networks: int,
    precision: float | None,
    seed: int,
) -> MonteCarloEstimate:
    """Means over networks of the kernels of the result, by name, and their standard errors."""
    import jax

    from ntc.backends.jax.precision import precision as of_type
    from ntc.finite.monte_carlo import MonteCarloEstimate, monte_carlo_kernel_fn

    def init_fn(key: jax.Array, shape: Any) -> tuple[None, Any]:
        return None, program.init(key)

    def apply_fn(params: Any, x: Any, rng: Any = None) -> Any:
        return program.apply(params, x, rng)

    with of_type(program.dtype), reporting() as report:
        kernel_fn = monte_carlo_kernel_fn(
            init_fn,
            apply_fn,
            jax.random.key(seed),
            networks,
            standard_error=True,
            precision=precision,
            progress=lambda done, total: report("networks", done, total),
        )
        x1, x2 = (jax.tree.map(jax.numpy.asarray, arguments.get(name)) for name in ("x1", "x2"))
        found = kernel_fn(x1, x2, wanted)
        named = {"mean": found.mean, "standard_error": found.standard_error}
        apart = {what: {name: getattr(value, name) for name in wanted} for what, value in named.items()}
        return MonteCarloEstimate(apart["mean"], apart["standard_error"], found.samples)


def _share(errors: npt.NDArray[Any], matrix: npt.NDArray[Any]) -> float:
    largest = float(np.abs(matrix).max(initial=0))
    return float(errors.max(initial=0)) / largest if largest else 0.0
