"""Options that several commands share, and what they open."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
import numpy.typing as npt
import typer

from ntc import datasets
from ntc.artifact import is_artifact, load
from ntc.cli.compiled import keep_compiled
from ntc.cli.console import stderr
from ntc.compiler import build
from ntc.errors import InputError, ParameterError
from ntc.frontend.elaborate import load_graph
from ntc.importing.named import is_python
from ntc.ir.graph import Graph
from ntc.ir.printer import show
from ntc.ir.types import Kernel, Target
from ntc.passes.pipeline import PASSES, Observer, check_level
from ntc.plan import KernelPath

if TYPE_CHECKING:
    from ntc.backends.jax.program import Program

ModelPath = Annotated[Path, typer.Argument(help="A model file (.nt), model.py:build_model, or an artifact (.ntc).", show_default=False)]
ModelName = Annotated[str | None, typer.Option("--model", help="Which model of a file with several.")]
Parameters = Annotated[
    list[str] | None, typer.Option("--param", "-p", help="A parameter of the model, name=value. Repeatable.")
]
HyperOption = Annotated[
    list[str] | None, typer.Option("--hyper", help="A hyperparameter of the network, name=number. Repeatable.")
]
TargetOption = Annotated[Target, typer.Option("--target", help="The platform to compile for.")]
KernelsOption = Annotated[Literal["both", "nngp", "ntk"], typer.Option("--kernel", help="What to compute.")]
DTypeOption = Annotated[Literal["float32", "float64"], typer.Option("--dtype", help="Precision of all arithmetic.")]
RunKernels = Annotated[
    Literal["both", "nngp", "ntk"] | None, typer.Option("--kernel", help="Default: both, or those of the artifact.")
]
RunTarget = Annotated[Target | None, typer.Option("--target", help="Default: cpu, or that of the artifact.")]
RunDType = Annotated[
    Literal["float32", "float64"] | None, typer.Option("--dtype", help="Default: float32, or that of the artifact.")
]
Devices = Annotated[
    int | None, typer.Option("--devices", min=1, help="Over how many devices pairs of examples are split; default: 1.")
]
Trust = Annotated[bool, typer.Option("--trust", help="Run the program stored in an artifact; only if you trust it.")]
SelfTest = Annotated[
    bool,
    typer.Option(
        "--self-test/--no-self-test", help="Before more than a minute, compare three tiles with the reference."
    ),
]
Profile = Annotated[Path | None, typer.Option("--profile", help="Directory for a JAX profiler trace.")]
ConvLoweringOption = Annotated[
    Literal["auto", "separable", "direct", "matrix"], typer.Option("--conv-lowering", help="How to sum convolutions.")
]
KernelPathOption = Annotated[
    KernelPath,
    typer.Option(
        "--kernel-path", help="Stages as kernels of their own on cuda and tpu, or all by XLA; auto where it works."
    ),
]
FormOption = Annotated[
    Literal["auto", "covariance", "distance"],
    typer.Option(
        "--form", help="What relu reads: covariances, or distances, which keep the digits of nearly equal inputs."
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print results as JSON.")]
DumpAfter = Annotated[str | None, typer.Option("--dump-ir-after", help="Print the IR after a pass, or after all.")]
Verify = Annotated[bool, typer.Option("--verify", help="Check the graph after every pass.")]
TimePasses = Annotated[bool, typer.Option("--time-passes", help="Print the time of every pass.")]


def parameters(texts: list[str] | None) -> dict[str, str]:
    """`-p name=value` options by name. Raises ParameterError."""
    return pairs("-p", texts)


def pairs(option: str, texts: list[str] | None) -> dict[str, str]:
    """The values of an option name=value that is given any number of times. Raises ParameterError."""
    given: dict[str, str] = {}
    for text in texts or ():
        name, separator, value = text.partition("=")
        if not separator or not name.strip():
            raise ParameterError(f"{option} {text}: expected name=value")
        if name.strip() in given:
            raise ParameterError(f"{option} {text}: {name.strip()} is given twice")
        given[name.strip()] = value
    return given


def hyper_values(texts: list[str] | None) -> dict[str, float]:
    """`--hyper name=number` options by name. Raises ParameterError."""
    given = pairs("--hyper", texts)
    for name, value in given.items():
        try:
            float(value)
        except ValueError:
            raise ParameterError(f"--hyper {name}={value}: expected a number") from None
    return {name: float(value) for name, value in given.items()}


def open_network(path: Path, model: str | None, params: list[str] | None) -> Graph:
    """The tensor graph of a model file, of Python code, or of an artifact."""
    if _is_archive(path, model, params):
        return load(path).network
    return read_model(path, model, params)


def read_model(path: Path, model: str | None, params: list[str] | None) -> Graph:
    """The tensor graph of a model file, or of `model.py:build_model`, which is run."""
    if not is_python(str(path)):
        return load_graph(path, model, parameters(params))
    if model is not None:
        raise ParameterError("--model is for model files", hint=f"name it behind the colon: {path}")
    from ntc.importing.python_file import graph_of

    return graph_of(str(path), parameters(params))


def open_program(
    path: Path,
    model: str | None,
    params: list[str] | None,
    *,
    target: Target | None,
    dtype: Literal["float32", "float64"] | None,
    kernels: tuple[Kernel, ...] | None,
    trust: bool,
    devices: int | None = None,
    kernel_path: KernelPath = "auto",
) -> Program:
    """The program of a model file, compiled now, or of an artifact, compiled before. Raises ParameterError if the
    artifact is for another target or type, or lacks a kernel."""
    keep_compiled()
    if not _is_archive(path, model, params):
        graph = read_model(path, model, params)
        _provide(target or "cpu", devices)
        program = build(graph, target or "cpu", kernels or ("nngp", "ntk"), dtype or "float32", devices=devices or 1)
        return program.with_kernel_path(kernel_path)
    program = load(path, trust, devices).with_kernel_path(kernel_path)
    _provide(program.target, program.devices)
    has = {"--target": program.target, "--dtype": "float32" if program.dtype == "f32" else "float64"}
    for option, wanted in (("--target", target), ("--dtype", dtype)):
        if wanted not in (None, has[option]):
            hint = f"compile the model again, with {option} {wanted}"
            raise ParameterError(f"{path} is compiled: its {option} is {has[option]}, not {wanted}", hint=hint)
    missing = [kernel for kernel in kernels or () if kernel not in program.kernels]
    if missing:
        raise ParameterError(f"{path} does not compute the {missing[0]} kernel", hint="compile the model again")
    return program


def _provide(target: Target, devices: int | None) -> None:
    """Makes several devices of a CPU, if that many are asked for."""
    if target == "cpu" and (devices or 1) > 1:
        import jax

        jax.config.update("jax_num_cpu_devices", devices)  # type: ignore[no-untyped-call]


def _is_archive(path: Path, model: str | None, params: list[str] | None) -> bool:
    if is_python(str(path)) or not is_artifact(path):
        return False
    if model or params:
        raise ParameterError(f"{path} is compiled: --model and -p cannot change it", hint="compile the model again")
    return True


def together(option: str, given: object, others: Mapping[str, object], allowed: bool) -> None:
    """Raises ParameterError where one of the others is given that goes only with an option, or only without it."""
    for name, value in others.items():
        if value not in (None, False, 0) and (given is not None) != allowed:
            does = "needs" if allowed else "does not go with"
            raise ParameterError(f"{name} {does} {option}")


def chosen(kernel: Literal["both", "nngp", "ntk"]) -> tuple[Kernel, ...]:
    """The kernels that --kernel asks for."""
    return ("nngp", "ntk") if kernel == "both" else (kernel,)


def observer(dump_after: str | None, verify: bool) -> Observer:
    """What --dump-ir-after and --verify ask for."""
    if dump_after not in (None, "all", *PASSES):
        raise ParameterError(f"--dump-ir-after {dump_after}: expected all or one of {', '.join(PASSES)}")

    def dump(name: str, graph: Graph) -> None:
        if dump_after in ("all", name):
            print(f"// after {name}\n{show(graph)}", file=stderr.file)

    return Observer(verify=verify or check_level() >= 1, dump=dump if dump_after else None)


def print_times(seen: Observer) -> None:
    """The time of every pass, on stderr."""
    for name, seconds in seen.seconds:
        print(f"{1e3 * seconds:10.2f} ms  {name}", file=stderr.file)


def writable(path: Path | None) -> Path | None:
    """Checks where something is to be written, before it is computed. Raises ParameterError."""
    if path is None or path == Path("-"):
        return path
    if path.is_dir():
        raise ParameterError(f"{path} is a folder", hint=f"name a file in it, as {path / 'out'}")
    if not path.parent.is_dir():
        raise ParameterError(f"{path}: there is no folder {path.parent}", hint=f"mkdir -p {path.parent}")
    if not os.access(path if path.exists() else path.parent, os.W_OK):
        raise ParameterError(f"{path} cannot be written: no permission")
    return path


def picture(path: Path | None) -> Path | None:
    """Checks where a picture is to be drawn, and that matplotlib can. Raises ParameterError, UnsupportedError."""
    if path is None:
        return None
    from ntc.cli.plot import require_matplotlib

    require_matplotlib()
    from matplotlib.backend_bases import FigureCanvasBase

    kinds = FigureCanvasBase.get_supported_filetypes()
    if path.suffix and path.suffix[1:].lower() not in kinds:
        raise ParameterError(f"{path}: pictures are not drawn as {path.suffix}", hint="name it .png, .svg or .pdf")
    return writable(path)


def written(*names: str, help: str) -> Any:  # as typer calls it
    """An option for a file that is written, which is checked when the command is read."""
    return typer.Option(*names, callback=writable, help=help)


def drawn(*names: str, help: str) -> Any:
    """An option for a picture, which is checked likewise."""
    return typer.Option(*names, callback=picture, help=help)


def read_array(path: Path, key: str | None = None, alone: bool = False, mapped: bool = False) -> npt.NDArray[Any]:
    """The array of a .npy file, or the one called `key` of a .npz file; if a key is given, a .npy file will do where it
    may be `alone`. Examples, or labels for the key y, of a named data set (`ntc.datasets`). With `mapped`, a .npy file
    is not read yet, and neither is a zarr array. Raises InputError."""
    if datasets.is_named(str(path)):
        found = datasets.read(str(path))
        return found.y if key == "y" else found.x
    if mapped and path.is_dir():
        array: npt.NDArray[Any] = _zarr_array(path)
        return array
    try:
        loaded = np.load(path, allow_pickle=False, mmap_mode="r" if mapped else None)
        if isinstance(loaded, np.ndarray):
            if key is not None and not alone:
                raise InputError(f"{path} holds one array", hint=f"expected a .npz file with {key} among its arrays")
            return loaded
        names = loaded.files
        wanted = key if key in names else names[0] if key is None and len(names) == 1 else None
        if wanted is None:
            raise InputError(f"{path} has the arrays {', '.join(names) or '(none)'}, expected {key or 'one array'}")
        chosen: npt.NDArray[Any] = loaded[wanted]
        return chosen
    except InputError:
        raise
    except (ValueError, EOFError, zipfile.BadZipFile, KeyError) as error:
        raise InputError(f"{path} is not a NumPy file of numbers ({error})", hint="write it with numpy.save") from None


def read_examples(
    path: Path, inputs: tuple[str, ...], mapped: bool = False
) -> npt.NDArray[Any] | dict[str, npt.NDArray[Any]]:
    """One array, or of a network of several inputs the arrays of a .npz file by their names. Raises InputError."""
    if len(inputs) == 1:
        return read_array(path, mapped=mapped)
    return {name: read_array(path, name) for name in inputs}


def _zarr_array(path: Path) -> Any:
    """The zarr array of a folder. Raises InputError."""
    from ntc.jobs.store import open_array

    return open_array(str(path))


def write_arrays(path: Path, arrays: Mapping[Any, npt.NDArray[Any]]) -> None:
    """Writes a .npz file, which appears whole or not at all."""
    partial = path.with_name(path.name + ".partial")
    try:
        with open(partial, "wb") as file:
            np.savez(file, **arrays)  # type: ignore[arg-type]  # the stub takes allow_pickle for an array
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
