"""ntc kernel: kernel matrices between arrays of examples."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import numpy.typing as npt
import typer

from ntc.cli import files, monte_carlo, nonfinite, options, stores
from ntc.cli.announce import announce, profiled
from ntc.cli.console import reporting
from ntc.errors import UsageError
from ntc.ir.graph import RESULT, kernel_label
from ntc.ir.types import Kernel

if TYPE_CHECKING:
    from ntc.backends.jax.program import Program
    from ntc.backends.jax.result import Kernels


Output = Annotated[
    Path | None,
    files.written_binary("-o", "--output", help="Where to write the matrices, .npz; needed without --store."),
]
Memory = Annotated[
    float | None,
    typer.Option("--memory", min=1e-6, help="Memory to compute in, GiB; default: a quarter of the machine's."),
]
_MASK = "Where {} is missing, (n, ...) of true and false."
_PATTERN = "Weights of edges of the graphs in {}, (n, vertices, vertices)."


def kernel_command(
    model_file: options.ModelPath,
    x1: Annotated[Path, typer.Option("--x1", "--data", help="Examples (n1, ..., channels): .npy, cifar10:FOLDER, ...")],
    output: Output = None,
    x2: Annotated[Path | None, typer.Option("--x2", help="Other examples (n2, ..., channels); default: x1.")] = None,
    mask1: Annotated[Path | None, typer.Option("--mask1", help=_MASK.format("x1"))] = None,
    mask2: Annotated[Path | None, typer.Option("--mask2", help=_MASK.format("x2"))] = None,
    pattern1: Annotated[Path | None, typer.Option("--pattern1", help=_PATTERN.format("x1"))] = None,
    pattern2: Annotated[Path | None, typer.Option("--pattern2", help=_PATTERN.format("x2"))] = None,
    kernel: options.RunKernels = None,
    model: options.ModelName = None,
    param: options.Parameters = None,
    hyper: options.HyperOption = None,
    target: options.RunTarget = None,
    devices: options.Devices = None,
    dtype: options.RunDType = None,
    trust: options.Trust = False,
    kernel_path: options.KernelPathOption = "auto",
    memory: Memory = None,
    as_json: options.Json = False,
    self_test: options.SelfTest = True,
    profile: options.Profile = None,
    store: stores.StoreOption = None,
    engine: stores.EngineOption = "process",
    scheduler: stores.Scheduler = None,
    workers: stores.Workers = 1,
    gpus: stores.Gpus = 0,
    tile: stores.TileOption = None,
    block: stores.BlockOption = None,
    device: stores.Device = None,
    plan: Annotated[bool, typer.Option("--plan", help="Say what it takes to fill the store, and do nothing.")] = False,
    force: stores.Force = False,
    accept_versions: stores.AcceptVersions = False,
    extend: stores.Extend = False,
    log: stores.Log = None,
    networks: monte_carlo.Networks = None,
    precision: monte_carlo.Precision = None,
    seed: monte_carlo.Seed = None,
    allow: nonfinite.Allow = False,
) -> None:
    """Compute the NNGP and NTK matrices between examples: at once, with --store block by block, or estimated."""
    of_store = {"--engine": engine != "process", "--scheduler": scheduler, "--tile": tile, "--plan": plan}
    of_store |= {"--block": block, "--log": log is not None, "--force": force, "--gpus": gpus}
    others = {"--memory": memory, "--profile": profile, "--trust": trust, "--allow-nonfinite": allow}
    paths = {"mask1": mask1, "mask2": mask2, "pattern1": pattern1, "pattern2": pattern2}
    _check(output, (store, of_store), (networks, {"--precision": precision, "--seed": seed}), others, paths)
    place = options.Place(target, dtype, trust, devices, kernel_path)
    wanted = options.chosen(kernel) if kernel else None
    program = options.open_program(model_file, model, param, wanted, place).with_hyper(options.hyper_values(hyper))
    arguments = _arguments(program, x1, x2, paths, store is not None)
    if networks is not None:
        monte_carlo.estimate(program, arguments, output, wanted, networks, precision, seed, as_json)
    elif store is None:
        kernels = wanted or program.kernels
        compute(program, arguments, output, kernels, memory, self_test, profile, as_json, allow)
    else:
        crew = stores.Crew(engine, scheduler, workers, gpus, devices or 1)
        cut = stores.Cut(tile, block, device, force, accept_versions, extend)
        stores.fill(program, arguments, store, crew, cut, plan, log, output, as_json)


def _check(
    output: Path | None,
    store: tuple[Any, dict[str, Any]],
    networks: tuple[int | None, dict[str, Any]],
    others: dict[str, Any],
    paths: dict[str, Path | None],
) -> None:
    """Raises UsageError where options do not go together: a store and random networks, each with the options that go
    with it alone; and the options that go with neither."""
    given = {f"--{name}": path for name, path in paths.items()}
    options.together("--store", store[0], others, allowed=False)
    options.together("--store", store[0], store[1], allowed=True)
    options.together("--monte-carlo", networks[0], networks[1], allowed=True)
    options.together("--monte-carlo", networks[0], {"--store": store[0]} | others | given, allowed=False)
    if output is None and store[0] is None:
        raise UsageError("where to? neither -o nor --store is given", hint="-o k.npz, or --store k.zarr")


def _arguments(
    program: Program, x1: Path, x2: Path | None, others: dict[str, Path | None], mapped: bool
) -> dict[str, Any]:
    """The arrays that a program is called with, by name."""
    found: dict[str, Any] = {"x1": files.read_examples(x1, program.inputs, mapped)}
    if x2 is not None:
        found["x2"] = files.read_examples(x2, program.inputs, mapped, like=x1)
    return found | {name: files.read_array(path, mapped=mapped) for name, path in others.items() if path is not None}


def compute(
    program: Program,
    arguments: dict[str, Any],
    output: Path | None,
    wanted: tuple[Kernel, ...],
    memory: float | None,
    self_test: bool,
    profile: Path | None,
    as_json: bool,
    allow: bool,
) -> None:
    """Computes the matrices at once, in `memory` GiB, and writes them; not finite or zero ones if that is allowed."""
    assert output is not None
    options.say_what_comes_out(program.network)
    announce(program, arguments["x1"], arguments.get("x2"))
    start = time.perf_counter()
    with reporting() as report, profiled(profile), nonfinite.watched(allow):
        result = program(
            **arguments,
            progress=lambda done, total: report("kernel", done, total),
            memory=None if memory is None else int(memory * 2**30),
            self_test=None if self_test else False,
        )
    matrices = _matrices(result, wanted)
    nonfinite.check(matrices, allow)
    seconds = time.perf_counter() - start
    files.write_arrays(output, matrices)
    shapes = {name: list(value.shape) for name, value in matrices.items()}
    if as_json:
        print(json.dumps({"output": str(output), "shapes": shapes, "seconds": seconds}))
    else:
        listed = ", ".join(f"{name} {tuple(shape)}" for name, shape in shapes.items())
        print(f"{output}: {listed} in {seconds:.1f} s")


def _matrices(kernels: Kernels, wanted: tuple[Kernel, ...]) -> dict[str, npt.NDArray[Any]]:
    """By what the kernel graph calls them: those of the result, then those of values with names."""
    outputs = {RESULT: kernels, **kernels.outputs}
    return {kernel_label(x, name): np.asarray(getattr(outputs[x], name)) for x in outputs for name in wanted}
