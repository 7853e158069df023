"""ntc convergence: finite networks against the infinite one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import numpy.typing as npt
import typer

from ntc.cli import files, options
from ntc.cli.console import reporting
from ntc.errors import UnsupportedError, UsageError

if TYPE_CHECKING:
    from ntc.backends.jax.program import Program
    from ntc.finite.convergence import Convergence


def convergence_command(
    model_file: options.ModelPath,
    x: Annotated[
        Path | None,
        typer.Option("--x", help="Inputs, .npy, or x of a .npz; default: digits if they fit, else noise."),
    ] = None,
    n: Annotated[int, typer.Option("--n", min=2, help="How many of the inputs.")] = 10,
    widths: Annotated[str, typer.Option("--widths", help="Channels of hidden layers: 8,16.")] = "8,16,32,64",
    samples: Annotated[str, typer.Option("--samples", help="Numbers of networks: 1,2,4.")] = "1,2,4,8,16,32",
    seed: Annotated[int, typer.Option("--seed", min=0, help="Seed of the random networks.")] = 0,
    plot_file: Annotated[Path | None, files.drawn("--plot", help="Where to draw the errors, .png.")] = None,
    model: options.ModelName = None,
    param: options.Parameters = None,
    as_json: options.Json = False,
) -> None:
    """Compare kernels of random finite networks with those of the infinite one, at several widths."""
    import jax

    from ntc import plot
    from ntc.finite.convergence import convergence
    from ntc.plot import canvas

    sizes, counts = _numbers("--widths", widths), _numbers("--samples", samples)
    program = options.open_program(model_file, model, param)
    inputs = _inputs(program, x, n)
    with reporting() as report:
        key = jax.random.key(seed)
        found = convergence(program, inputs, sizes, counts, key, lambda done, total: report("widths", done, total))
    slopes = {kernel: found.slope(kernel) for kernel in found.errors}
    if plot_file:
        figure, axes = canvas.blank(len(slopes))
        plot.convergence(found, axes=axes)
        canvas.save(figure, plot_file)
    if as_json:
        errors = {kernel: x.tolist() for kernel, x in found.errors.items()}
        print(json.dumps({"widths": sizes, "samples": counts, "errors": errors, "slopes": slopes}))
    else:
        print("\n".join(_lines(found, slopes)))


def _numbers(option: str, text: str) -> list[int]:
    try:
        found = [int(x) for x in text.split(",")]
    except ValueError:
        found = []
    if not found or found != sorted(set(found)) or found[0] < 1:
        raise UsageError(f"{option} {text}: expected growing whole numbers from 1, as 8,16,32")
    return found


def _inputs(program: Program, path: Path | None, n: int) -> npt.NDArray[Any]:
    if len(program.inputs) > 1:
        raise UnsupportedError("convergence is for networks of one input; this one has several")
    if path is not None:
        return files.read_array(path, "x", alone=True)[:n]
    type_ = program.network.tensor_of(program.inputs[0])
    shape = (*type_.spatial, type_.channels)
    if np.prod(shape) != 64:
        return np.random.default_rng(0).normal(size=(n, *shape))
    images = files.digits(", or give --x")[0][:n]
    standard: npt.NDArray[Any] = (images - images.mean()) / images.std()
    return standard.reshape(-1, *shape)


def _lines(found: Convergence, slopes: dict[str, float]) -> list[str]:
    lines = []
    for kernel, errors in found.errors.items():
        lines.append(f"{kernel}: relative error, by width (rows) and number of networks")
        lines.append("        " + "".join(f"{m:>9}" for m in found.samples))
        lines += [
            f"{width:>8}" + "".join(f"{error:9.2e}" for error in row)
            for width, row in zip(found.widths, errors, strict=True)
        ]
        lines.append(f"slope of log error against log(networks x width): {slopes[kernel]:.3f}")
    return lines
