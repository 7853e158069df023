"""Options that several commands share, and what they open."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from ntc.artifact import MAX_BYTES, is_artifact, restored
from ntc.cli import files
from ntc.cli.compiled import keep_compiled
from ntc.cli.console import note, stderr
from ntc.compiler import build
from ntc.errors import InputError, UsageError
from ntc.files import decode, name_of, read_bytes
from ntc.frontend.elaborate import read_graph
from ntc.importing.named import is_python
from ntc.ir.graph import Graph, tensor_op
from ntc.ir.json import from_json
from ntc.ir.parser import parse_graph
from ntc.ir.printer import show
from ntc.ir.types import Kernel, Target
from ntc.ir.verify import verify
from ntc.passes.pipeline import PASSES, Observer, check_level
from ntc.plan import KernelPath

if TYPE_CHECKING:
    from ntc.backends.jax.program import Program

_IR = re.compile(r"(?:\s|//.*\n)*(?:tensor|kernel)\s+@")
"""How a graph in text form begins."""

ModelPath = Annotated[
    Path,
    typer.Argument(
        metavar="MODEL",
        help="A model file (.nt), model.py:build_model, an artifact (.ntc), or IR as text or JSON; - is stdin.",
        show_default=False,
    ),
]
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
    int | None, typer.Option("--devices", min=1, help="Number of devices that share the pairs of examples; default: 1.")
]
Trust = Annotated[bool, typer.Option("--trust", help="Run the program stored in an artifact; only if you trust it.")]
SelfTest = Annotated[
    bool,
    typer.Option(
        "--self-test/--no-self-test", help="Before more than a minute of work, compare three tiles with the reference."
    ),
]
Profile = Annotated[Path | None, typer.Option("--profile", help="Directory for a JAX profiler trace.")]
ConvLoweringOption = Annotated[
    Literal["auto", "separable", "direct", "matrix"], typer.Option("--conv-lowering", help="How to sum convolutions.")
]
KernelPathOption = Annotated[
    KernelPath,
    typer.Option(
        "--kernel-path",
        help="On cuda and tpu: stages as kernels of our own (pallas), none (xla), where it works (auto).",
    ),
]
FormOption = Annotated[
    Literal["auto", "covariance", "distance"],
    typer.Option(
        "--form", help="What relu reads: covariances, or distances, which keep the digits of nearly equal inputs."
    ),
]
TextOutput = Annotated[
    Path | None, typer.Option("-o", "--output", callback=files.writable, help="Where to write; - or none is stdout.")
]
Json = Annotated[bool, typer.Option("--json", help="Print results as JSON.")]
DumpAfter = Annotated[str | None, typer.Option("--dump-ir-after", help="Print the IR after a pass, or after all.")]
Verify = Annotated[bool, typer.Option("--verify", help="Check the graph after every pass.")]
TimePasses = Annotated[bool, typer.Option("--time-passes", help="Print the time of every pass.")]


def parameters(texts: list[str] | None) -> dict[str, str]:
    """`-p name=value` options by name. Raises UsageError."""
    return pairs("-p", texts)


def pairs(option: str, texts: list[str] | None) -> dict[str, str]:
    """The values of an option name=value that is given any number of times. Raises UsageError."""
    given: dict[str, str] = {}
    for text in texts or ():
        name, separator, value = text.partition("=")
        if not separator or not name.strip():
            raise UsageError(f"{option} {text}: expected name=value")
        if name.strip() in given:
            raise UsageError(f"{option} {text}: {name.strip()} is given twice")
        given[name.strip()] = value
    return given


def hyper_values(texts: list[str] | None) -> dict[str, float]:
    """`--hyper name=number` options by name. Raises UsageError."""
    given = pairs("--hyper", texts)
    for name, value in given.items():
        try:
            float(value)
        except ValueError:
            raise UsageError(f"--hyper {name}={value}: expected a number") from None
    return {name: float(value) for name, value in given.items()}


def open_network(path: Path, model: str | None, params: list[str] | None) -> Graph:
    """The tensor graph of a model, in any of the forms of `ModelPath`."""
    found = _read_model(path, model, params)
    return found if isinstance(found, Graph) else restored(found, name_of(path)).network


@dataclass(frozen=True)
class Place:
    """Where and how a program runs; None is what an artifact was compiled for, or cpu and float32."""

    target: Target | None = None
    dtype: Literal["float32", "float64"] | None = None
    trust: bool = False
    devices: int | None = None
    kernel_path: KernelPath = "auto"


def open_program(
    path: Path,
    model: str | None,
    params: list[str] | None,
    kernels: tuple[Kernel, ...] | None = None,
    place: Place = Place(),
) -> Program:
    """The program of a model, compiled now, or of an artifact, compiled before. Raises UsageError if the artifact is
    for another target or type, or lacks a kernel."""
    keep_compiled()
    found, target, devices = _read_model(path, model, params), place.target or "cpu", place.devices or 1
    if isinstance(found, Graph):
        _provide(target, devices)
        both: tuple[Kernel, ...] = ("nngp", "ntk")
        program = build(found, target, kernels or both, place.dtype or "float32", devices=devices)
        return program.with_kernel_path(place.kernel_path)
    program = restored(found, name_of(path), place.trust, place.devices).with_kernel_path(place.kernel_path)
    _provide(program.target, program.devices)
    has = {"--target": program.target, "--dtype": "float32" if program.dtype == "f32" else "float64"}
    for option, wanted in (("--target", place.target), ("--dtype", place.dtype)):
        if wanted not in (None, has[option]):
            hint = f"compile the model again, with {option} {wanted}"
            raise UsageError(f"{name_of(path)} is compiled: its {option} is {has[option]}, not {wanted}", hint=hint)
    missing = [kernel for kernel in kernels or () if kernel not in program.kernels]
    if missing:
        raise UsageError(f"{name_of(path)} does not compute the {missing[0]} kernel", hint="compile the model again")
    return program


def graph_of_text(text: str, path: Path) -> Graph:
    """The graph of either kind that is written as JSON or as IR text, verified."""
    is_json = text.lstrip().startswith("{")
    return verify(from_json(text) if is_json else parse_graph(text, name_of(path)))


def say_what_comes_out(network: Graph) -> None:
    """Says on stderr where kernels are not one number for a pair of examples, or are none."""
    without = [node.name for node in network.nodes if not tensor_op(node).closed_form]
    if without:
        note(f"{without[0]} has finite networks only: `ntc kernel --monte-carlo` estimates kernels")
    spatial = network.tensor_of(network.outputs[-1].value).spatial
    if spatial:
        sizes = ", ".join(map(str, (*spatial, *spatial)))
        instead = "end with flatten or global_avg_pool, and dense, for one number"
        note(f"the output keeps its positions: the kernel of a pair of examples is an array ({sizes}); {instead}")


def _provide(target: Target, devices: int) -> None:
    """Makes several devices of a CPU, if that many are asked for."""
    if target == "cpu" and devices > 1:
        import jax

        jax.config.update("jax_num_cpu_devices", devices)  # type: ignore[no-untyped-call]


def _read_model(path: Path, model: str | None, params: list[str] | None) -> Graph | bytes:
    """A graph, or the bytes of an artifact. What a file is, is seen by its first characters: it may be a pipe, which
    has no name and is read once. Of Python code, `model.py:build_model`, which is run, the graph."""
    if is_python(str(path)):
        if model:
            raise UsageError("--model is for model files", hint=f"name it behind the colon: {path}")
        from ntc.importing.python_file import graph_of

        return graph_of(str(path), parameters(params))
    if path.suffix == ".py":
        raise UsageError(f"{path} is Python code", hint=f"name what is in it: {path}:build_model")
    data = read_bytes(path, MAX_BYTES)
    archive = is_artifact(data)
    text = "" if archive else decode(data, path)
    is_json, is_ir = text.lstrip().startswith("{"), _IR.match(text)
    if (model or params) and (archive or is_json or is_ir):
        what = "is compiled" if archive else "is one network"
        raise UsageError(f"{name_of(path)} {what}: --model and -p cannot change it", hint="begin with the model file")
    if archive:
        return data
    if not is_json and not is_ir:
        return read_graph(text, name_of(path), model, parameters(params))
    graph = graph_of_text(text, path)
    if graph.kind != "tensor":
        raise InputError(f"{name_of(path)} is a kernel graph, not a network", hint="`ntc opt` runs passes on it")
    return graph


def together(option: str, given: object, others: Mapping[str, object], allowed: bool) -> None:
    """Raises UsageError where one of the others is given that goes only with an option, or only without it."""
    for name, value in others.items():
        if value not in (None, False, 0) and (given is not None) != allowed:
            does = "needs" if allowed else "does not go with"
            raise UsageError(f"{name} {does} {option}")


def chosen(kernel: Literal["both", "nngp", "ntk"]) -> tuple[Kernel, ...]:
    """The kernels that --kernel asks for."""
    return ("nngp", "ntk") if kernel == "both" else (kernel,)


def observer(dump_after: str | None, verify: bool) -> Observer:
    """What --dump-ir-after and --verify ask for."""
    if dump_after not in (None, "all", *PASSES):
        raise UsageError(f"--dump-ir-after {dump_after}: expected all or one of {', '.join(PASSES)}")

    def dump(name: str, graph: Graph) -> None:
        if dump_after in ("all", name):
            print(f"// after {name}\n{show(graph)}", file=stderr.file)

    return Observer(verify=verify or check_level() >= 1, dump=dump if dump_after else None)


def print_times(seen: Observer) -> None:
    """The time of every pass, on stderr."""
    for name, seconds in seen.seconds:
        print(f"{1e3 * seconds:10.2f} ms  {name}", file=stderr.file)
