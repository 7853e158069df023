"""From a network to a program: the one place that lists the stages."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from os import PathLike
from typing import TYPE_CHECKING, Any, Literal, get_args

from ntc.errors import InputError, ParameterError
from ntc.frontend.layers import Layer, Network
from ntc.ir.construct import construct
from ntc.ir.graph import Graph, Node, tensor_op
from ntc.ir.types import Between, Distribution, DType, Kernel, Target, TensorType
from ntc.ir.verify import verify
from ntc.passes.base import Pass
from ntc.passes.distance import Distance
from ntc.passes.lower_conv import LowerConv
from ntc.passes.pipeline import OPTIMIZE, Observer, run
from ntc.passes.translate import Translate
from ntc.plan import KernelPath

if TYPE_CHECKING:
    from jax.sharding import Mesh

    from ntc.backends.jax.program import Program

DTYPES: dict[str, DType] = {"float32": "f32", "float64": "f64"}


def lower(
    graph: Graph,
    between: Between = "cross",
    kernels: Sequence[Kernel] = ("nngp", "ntk"),
    dtype: Literal["float32", "float64"] = "float32",
    observer: Observer | None = None,
    optimize: bool = True,
    conv_lowering: Literal["auto", "separable", "direct", "matrix"] = "auto",
    form: Literal["auto", "covariance", "distance"] = "auto",
) -> Graph:
    """The kernel graph of a tensor graph, optimised unless told otherwise; it is the same for all targets."""
    if dtype not in DTYPES:
        raise _unknown(dtype)
    translate = construct(Translate, (tuple(kernels), DTYPES[dtype], between), {})
    own: dict[type[Pass], Pass] = {
        Distance: construct(Distance, (form,), {}),
        LowerConv: construct(LowerConv, (conv_lowering,), {}),
    }
    passes = [own.get(type(pass_), pass_) for pass_ in OPTIMIZE] if optimize else []
    return run(graph, [translate, *passes], observer)


def build(
    network: Network | Graph,
    target: Target = "cpu",
    kernels: Sequence[Kernel] | Kernel = ("nngp", "ntk"),
    dtype: Literal["float32", "float64"] = "float32",
    observer: Observer | None = None,
    conv_lowering: Literal["auto", "separable", "direct", "matrix"] = "auto",
    form: Literal["auto", "covariance", "distance"] = "auto",
    devices: int | Mesh = 1,
    kernel_path: KernelPath = "auto",
) -> Program:
    """Compiles a network to a program for its kernels.

    Args:
      network: from the builder (`nn.input(...) >> ...`), or a tensor graph (`ntc.read_graph`).
      target: cpu, cuda or tpu. A program may be built and exported for a device that is not here.
      kernels: one or both of nngp and ntk, "ntk" or ("nngp", "ntk").
      dtype: float32 or float64, of all arithmetic, whatever the type of the examples and whether or not
        `jax_enable_x64` is set. (`kernel_fn` of `ntc.stax` has no such argument, and computes in float64 where it is.)
      observer: sees the graph after every pass.
      conv_lowering: how convolutions are summed: along one axis after the other, over all taps at once, or as
        products with banded matrices; auto chooses by a count of operations.
      form: of what relu and its kin read: covariances, or distances, which keep the digits by which inputs differ that
        are nearly equal; auto is distances in float32.
      devices: over how many devices of the target, or over those of which `jax.sharding.Mesh`, the pairs of examples
        are split. Every device holds all examples, and computes as many tiles of the matrix as the others. Inside
        another JAX transformation, the matrix is one computation on the device of its inputs.
      kernel_path: on cuda and tpu, whether a stage of layers is one kernel of its own where it can be, as
        `ntc compile --emit plan` shows, or a computation of XLA. Such kernels are compared with XLA at their first use;
        where they cannot be compiled or differ, `auto` warns and leaves them, `pallas` raises UnsupportedError or
        SelfTestError. Inside another JAX transformation, and in float64, all is XLA's.

    A network with a layer that has no rule, as `max_pool`, has a program of finite networks (`init`, `apply`); its
    kernels are refused when they are asked for.

    Raises:
      InputError: it is not a network.
      NtcError: the network is not well formed; see `ntc.errors` for the kinds.
    """
    from ntc.backends.jax.program import Program

    if target not in get_args(Target):
        raise ParameterError(f"target should be cpu, cuda or tpu, got {target}")
    if isinstance(devices, int) and (devices < 1 or isinstance(devices, bool)):
        raise ParameterError(f"devices should be a whole number from 1, got {devices}")
    if dtype not in DTYPES:
        raise _unknown(dtype)
    if kernel_path not in get_args(KernelPath):
        raise ParameterError(f"kernel_path should be auto, pallas or xla, got {kernel_path}")
    graph = _graph_of(network)
    wanted = (kernels,) if isinstance(kernels, str) else tuple(kernels)
    if not wanted or not {*wanted} <= {*get_args(Kernel)}:
        raise ParameterError(f"kernels should be nngp, ntk or both, ('nngp', 'ntk'), got {kernels!r}")
    graphs = _Lowered(graph, (wanted, dtype, observer, True, conv_lowering, form))
    if not all(map(_has_rules, graph.nodes)):
        return Program(graph, graphs, target, devices=devices, kernel_path=kernel_path, dtype=DTYPES[dtype])
    at_once: Iterable[Between] = graphs if observer else ("cross",)
    for between in at_once:
        graphs[between]
    return Program(graph, graphs, target, devices=devices, kernel_path=kernel_path)


def _has_rules(node: Node) -> bool:
    finite = isinstance(node.type, TensorType) and node.type.distribution is Distribution.FINITE
    return tensor_op(node).closed_form and not finite


def _graph_of(network: Any) -> Graph:
    """The tensor graph of a network, verified. Raises InputError for what is none, with what would make it one."""
    if isinstance(network, Network):
        return network.graph()
    if isinstance(network, Graph):
        return verify(network)
    if isinstance(network, Layer):
        hint = "begin with the shape of an example: nn.input(8, 8, 1) >> ..."
        raise InputError("the network has no input", hint=hint)
    if isinstance(network, str | PathLike):
        text = str(network)
        reads = "ntc.read_graph(text)" if "|>" in text or "\n" in text else f"ntc.load_graph({text!r})"
        raise InputError("a network is expected, got text", hint=f"ntc.build({reads})")
    kind = type(network)
    hint = "nn.input(...) >> ..., ntc.load_graph(path)"
    if any(base.__module__.split(".")[0] == "torch" for base in kind.__mro__):
        hint = "ntc.from_torch(module, x) makes one of a PyTorch module"
    elif callable(network):
        hint = "ntc.from_jax(f, params, x) makes one of a function or a Flax module"
    raise InputError(f"a network is expected, got {kind.__module__}.{kind.__qualname__}", hint=hint)


def _unknown(dtype: str) -> ParameterError:
    return ParameterError(f"dtype should be float32 or float64, got {dtype}")


class _Lowered(Mapping[Between, Graph]):
    """The kernel graphs of a program, each lowered when it is first asked for, by the options of `lower`."""

    def __init__(self, graph: Graph, options: tuple[Any, ...]) -> None:
        self._graph, self._options = graph, options
        self._known: dict[Between, Graph] = {}

    def __getitem__(self, between: Between) -> Graph:
        if between not in self._known:
            self._known[between] = lower(self._graph, between, *self._options)
        return self._known[between]

    def __iter__(self) -> Iterator[Between]:
        return iter(get_args(Between))

    def __len__(self) -> int:
        return len(get_args(Between))
