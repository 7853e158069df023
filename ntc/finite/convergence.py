"""How finite networks approach the infinite one: errors of Monte Carlo kernels against width and number of networks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import jax
import numpy as np
import numpy.typing as npt

from ntc.backends.jax import finite
from ntc.backends.jax.program import Program
from ntc.errors import InputError, ParameterError
from ntc.finite.monte_carlo import monte_carlo_kernel_fn
from ntc.ir.build import TensorGraphBuilder
from ntc.ir.graph import Graph, Node
from ntc.ir.op import TensorOp
from ntc.ir.ops.affine import AffineLayer
from ntc.ir.types import Kernel

Progress = Callable[[int, int], None]

_WIDTHS = ("features", "channels", "key_channels", "value_channels")
"""Parameters of layers with weights that are widths."""


@dataclass(frozen=True)
class Convergence:
    """Relative errors of Monte Carlo kernels.

    Attributes:
      widths: channels n of every hidden layer, (widths,).
      samples: numbers M of networks, (samples,).
      errors: |K of the networks - K| / |K| in the Frobenius norm, (widths, samples) by kernel.
    """

    widths: npt.NDArray[np.int64]
    samples: npt.NDArray[np.int64]
    errors: dict[str, npt.NDArray[np.float64]]

    def slope(self, kernel: str) -> float:
        """Of log error against log(M n), by least squares over all of them: about -1/2, so that the squared error falls
        as 1 / (M n) (Novak et al. 2020, Figure 2). Raises InputError for fewer than two different products."""
        products = np.log(np.multiply.outer(self.widths, self.samples).ravel().astype(float))
        if len(set(products)) < 2:
            raise InputError("a slope needs two widths or two numbers of networks")
        return float(np.polyfit(products, np.log(self.errors[kernel]).ravel(), 1)[0])


def convergence(
    program: Program,
    x: npt.NDArray[Any],
    widths: Sequence[int],
    samples: Sequence[int],
    key: jax.Array,
    progress: Progress | None = None,
) -> Convergence:
    """Errors of the kernels of x among itself at every width and number of networks.

    Every width has networks of its own; of one width, the first M of the largest number count. The NNGP is that of
    networks whose last layers are as wide as the others, as their channels are samples of it (Novak et al. 2019,
    section 4); for the NTK, whose error is that of the layers below, they are as wide as the network says.

    Args:
      program: of a network of one output, without axes of positions.
      x: (examples, *spatial, channels).
      widths: see `widened`.
      samples: numbers of networks, growing.
      key: of the random parameters.
      progress: called with the number of widths done, and of all.

    Raises:
      InputError, ParameterError: the inputs do not fit, the network has several inputs, numbers are not positive.
    """
    if not widths or min(widths) < 1:
        raise ParameterError(f"widths should be whole numbers from 1, got {list(widths)}")
    exact = program(x)
    report = progress or (lambda done, total: None)
    errors: dict[str, list[list[float]]] = {kernel: [] for kernel in program.kernels}
    for done, (width, own) in enumerate(zip(widths, jax.random.split(key, len(widths)), strict=True)):
        report(done, len(widths))
        for kernel in program.kernels:
            network = widened(program.network, width, last=kernel == "nngp")
            estimates = _estimates(network, own, samples, kernel, x)
            errors[kernel].append([_relative(found, getattr(exact, kernel)) for found in estimates])
    report(len(widths), len(widths))
    return Convergence(np.array(widths), np.array(samples), {k: np.array(v) for k, v in errors.items()})


def _estimates(network: Graph, key: jax.Array, samples: Sequence[int], kernel: Kernel, x: Any) -> Any:
    def init_fn(key: jax.Array, shape: tuple[int, ...]) -> tuple[None, Any]:
        return None, finite.init(network, key, np.float32)

    def apply_fn(params: Any, x: jax.Array) -> jax.Array:
        return finite.apply(network, params, x, dtype=np.float32)

    kernel_fn = monte_carlo_kernel_fn(init_fn, apply_fn, key, samples, vmap_axes=0)
    return kernel_fn(np.asarray(x, np.float32), None, kernel)


def _relative(found: Any, right: Any) -> float:
    right = np.asarray(right, np.float64)
    return float(np.linalg.norm(np.asarray(found, np.float64) - right) / np.linalg.norm(right))


def widened(graph: Graph, width: int, last: bool = False) -> Graph:
    """The network with so many channels in every layer with weights that another one reads; the last ones keep theirs
    unless they are asked for.

    Raises ShapeError where a network is not one of any width, as a skip connection from the input around such a layer.
    """
    first, *others = graph.inputs
    types = {x.name: graph.tensor_of(x.name) for x in graph.inputs}
    builder = TensorGraphBuilder(types[first.name].spatial, types[first.name].channels, name=first.name)
    for one in others:
        builder.add_input(types[one.name].spatial, types[one.name].channels, None, one.name)
    wide = {x.name for x in graph.nodes if _weighted(x)} if last else _hidden(graph)
    for node in graph.nodes:
        assert isinstance(node.op, TensorOp)
        op = _with_width(node.op, width) if node.name in wide else node.op
        builder.append(op, node.operands, node.location, node.name)
    for output in graph.outputs[:-1]:
        builder.name_output(output.label, output.value)
    return builder.finish(graph.name, graph.outputs[-1].value)


def _hidden(graph: Graph) -> frozenset[str]:
    """Layers with weights from which a way leads to another one."""
    below: set[str] = set()
    for node in reversed(graph.nodes):
        if node.name in below or isinstance(node.op, AffineLayer):
            below.update(node.operands)
    return frozenset(x.name for x in graph.nodes if _weighted(x) and x.name in below)


def _weighted(node: Node) -> bool:
    return isinstance(node.op, AffineLayer) or any(x.name == "key_channels" for x in fields(node.op))  # type: ignore[arg-type]


def _with_width(op: TensorOp, width: int) -> TensorOp:
    given = {x.name: width for x in fields(op) if x.name in _WIDTHS}  # type: ignore[arg-type]
    return replace(op, **given)  # type: ignore[type-var]
