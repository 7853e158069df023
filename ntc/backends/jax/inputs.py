"""What callers give, checked, and as one array of examples: inputs, masks, and the patterns of graphs."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt

from ntc.backends.jax.precision import is_real
from ntc.errors import InputError
from ntc.ir.graph import Graph, kernel_op
from ntc.ir.kernel import EdgeSum, Gram, Unmasked
from ntc.ir.kernel.inputs import markers
from ntc.ir.ops import Aggregate, Mask
from ntc.ir.packing import Packing
from ntc.ir.schema import Masked
from ntc.ir.types import ArrayType, Between, DType

Given = npt.ArrayLike | jax.Array
Examples = Given | Sequence[Given] | Mapping[str, Given]
"""Examples of a network: an array (n, *spatial, channels); of several inputs one of each, in order or by name."""


@dataclass(frozen=True)
class Inputs:
    """The inputs of a network.

    Attributes:
      network: the tensor graph.
      dtype: of the arrays that come out.
      numpy: the module that computes them, NumPy or `jax.numpy`.
    """

    network: Graph
    dtype: Any
    numpy: Any = np

    def packed(self, name: str, x: Examples, mask: Given | None = None, pattern: Given | None = None) -> Any:
        """One array of all that belongs to the examples, as `Packing` says: of one input x (n, *spatial, channels),
        with the value that marks missing entries where the mask is true, and with the pattern in further channels; of
        several inputs (n, entries of all of them). Raises InputError.
        """
        arrays = list(self.arrays(name, x).values())
        if len(arrays) > 1:
            if mask is not None or pattern is not None:
                raise InputError(
                    "a mask or a pattern is given, but the network has several inputs",
                    hint="mark what is missing by the value that the layer mask names",
                )
            return self.numpy.concatenate([x.reshape(x.shape[0], -1) for x in arrays], axis=1)
        (array,) = arrays
        if mask is not None:
            array = self._masked(array, mask)
        return self._with_pattern(name, array, pattern)

    def arrays(self, name: str, x: Examples) -> dict[str, Any]:
        """The array (n, *spatial, channels) of every input of the network. Raises InputError."""
        found = {}
        for label, given in self._by_name(name, x).items():
            type_ = self.network.tensor_of(label)
            called = name if len(self.network.inputs) == 1 else f"{name}, input {label},"
            found[label] = self._real(called, given)
            self._check(called, found[label].shape, (*type_.spatial, type_.channels))
        counts = {label: x.shape[0] for label, x in found.items()}
        if len(set(counts.values())) > 1:
            listed = ", ".join(f"{count} of {label}" for label, count in counts.items())
            raise InputError(f"{name} should have as many examples of every input, got {listed}")
        return found

    def _by_name(self, name: str, x: Examples) -> dict[str, Given]:
        """What is given for every input of the network."""
        labels = [value.name for value in self.network.inputs]
        listed = ", ".join(labels)
        if isinstance(x, Mapping):
            if set(x) != set(labels):
                raise InputError(f"{name} should have arrays called {listed}, got {', '.join(map(str, x)) or 'none'}")
            return {label: x[label] for label in labels}
        if len(labels) == 1:
            return {labels[0]: x}  # type: ignore[dict-item]  # a sequence is an array as well
        if not isinstance(x, Sequence) or len(x) != len(labels):
            hint = f"a tuple of {len(labels)} arrays, or a dictionary"
            raise InputError(f"{name} should hold one array for each of the inputs {listed}", hint=hint)
        return dict(zip(labels, x, strict=True))

    def _real(self, name: str, x: Given) -> Any:
        x = _from_torch(name, x)
        try:
            array = self.numpy.asarray(x)
        except ValueError as error:
            raise InputError(f"{name} is not an array: {error}") from None
        if not is_real(array.dtype):
            raise InputError(f"{name} should hold real numbers, got dtype {array.dtype}")
        return array.astype(self.dtype, copy=False)

    def _check(self, name: str, shape: tuple[int, ...], expected: tuple[int, ...]) -> None:
        if len(shape) != len(expected) + 1 or shape[1:] != expected:
            wanted = ", ".join(map(str, ("n", *expected)))
            raise InputError(f"{name} should have shape ({wanted}), got {shape}", hint=_reshaping(shape, expected))

    def _masked(self, x: Any, mask: Given) -> Any:
        value = next((node.op.value for node in self.network.nodes if isinstance(node.op, Mask)), None)
        if value is None:
            raise InputError("a mask is given, but the network has none", hint="begin the network with the layer mask")
        missing = self.numpy.asarray(mask)
        if missing.shape != x.shape[:-1] or missing.dtype != bool:
            raise InputError(
                f"a mask should hold true or false in shape {x.shape[:-1]}, got {missing.dtype} in {missing.shape}"
            )
        return self.numpy.where(missing[..., None], self.numpy.asarray(float(value), self.dtype), x)

    def _with_pattern(self, name: str, x: Any, pattern: Given | None) -> Any:
        """x with the row of every vertex in the pattern behind its channels."""
        spatial = x.shape[1:-1]
        rule = edges_of(self.network, spatial)
        if rule is None:
            if pattern is not None:
                raise InputError("a pattern is given, but no layer of the network aggregates")
            return x
        size, outputs = rule.size(spatial), rule.columns(spatial)
        if pattern is None:
            raise InputError(f"{name} needs a pattern of shape (n, {size}, {outputs}), which aggregate reads")
        rows = self._real(f"the pattern of {name}", pattern)
        if rows.shape != (x.shape[0], size, outputs):
            raise InputError(
                f"the pattern of {name} should have shape ({x.shape[0]}, {size}, {outputs}), got {rows.shape}",
                hint="ntc.adjacency(edges, size) makes one from lists of edges",
            )
        sizes = [n if axis in rule.axes else 1 for axis, n in enumerate(spatial)]
        rows = self.numpy.broadcast_to(rows.reshape(x.shape[0], *sizes, outputs), (*x.shape[:-1], outputs))
        return self.numpy.concatenate([x, rows], axis=-1)


def edges_of(network: Graph, spatial: tuple[int, ...]) -> EdgeSum | None:
    """How a network that aggregates sums over edges between these positions, which says the shape of its patterns."""
    op = next((node.op for node in network.nodes if isinstance(node.op, Aggregate)), None)
    return None if op is None else op.kernel_op(spatial)


def _reshaping(shape: tuple[int, ...], expected: tuple[int, ...]) -> str | None:
    """What would make an array fit, if it looks like one that is only arranged otherwise."""
    *spatial, channels = expected
    if shape == expected:
        return "the first axis is that of examples: x[None] is one of them"
    if shape[1:] == (channels, *spatial) and spatial:
        axes = ", ".join(map(str, (0, *range(2, len(expected) + 1), 1)))
        return f"channels come last: x.transpose({axes})"
    if shape and math.prod(shape[1:]) == math.prod(expected):
        return f"x.reshape({', '.join(map(str, (-1, *expected)))})"
    return None


def _from_torch(name: str, x: Any) -> Any:
    """A tensor of PyTorch as an array; anything else as it is. Raises InputError where a gradient would be lost."""
    if type(x).__module__.split(".")[0] != "torch" or not hasattr(x, "detach"):
        return x
    if x.requires_grad:
        raise InputError(
            f"{name} is a tensor with a gradient, which a program does not pass on",
            hint="ntc.adapters.torch_fn(program) does; or give x.detach()",
        )
    tensor = x.cpu()
    return (tensor.float() if str(tensor.dtype) == "torch.bfloat16" else tensor).numpy()


def adjacency(edges: npt.ArrayLike, size: int) -> npt.NDArray[np.float64]:
    """Patterns (n, size, size) of graphs given by their edges, an array (n, edges, 2) of pairs (from, to).

    An edge that is there twice has weight 2. Edges with a negative end do not count, so that graphs with fewer edges
    than others can be filled up. Raises InputError for other shapes, and for vertices from `size` on.
    """
    pairs = np.asarray(edges)
    if pairs.ndim != 3 or pairs.shape[-1] != 2 or pairs.dtype.kind not in "iu":
        raise InputError(f"edges should be whole numbers of shape (n, edges, 2), got {pairs.dtype} in {pairs.shape}")
    if pairs.size and pairs.max() >= size:
        raise InputError(f"edges name vertex {pairs.max()}; the last one is {size - 1}")
    found = np.zeros((len(pairs), size, size))
    example, edge = np.nonzero((pairs >= 0).all(-1))
    np.add.at(found, (example, *pairs[example, edge].T), 1.0)
    return found


def is_missing(masked: Masked, x: jax.Array) -> jax.Array:
    """Which entries of an input are masked."""
    return jnp.isnan(x) if masked == "nan" else jnp.isin(x, jnp.asarray(markers(masked), x.dtype))


def read(gram: Gram, x: jax.Array) -> jax.Array:
    """What a gram multiplies, (n, *spatial, channels), of the array of all that belongs to examples: zeros for masked
    entries; of `Unmasked`, 1 at positions that have a channel which is not masked, else 0."""
    own: jax.Array = gram.part.of(x)[..., : gram.channels]
    if gram.masked is None:
        return own
    missing = is_missing(gram.masked, own)
    if isinstance(gram, Unmasked):
        return (~missing.all(-1, keepdims=True)).astype(x.dtype)
    return jnp.where(missing, 0, own)


def grams(graph: Graph) -> list[Gram]:
    """The different ways in which a kernel graph reads examples."""
    found: Any = dict.fromkeys(gram for node in graph.nodes if (gram := kernel_op(node).reading))
    return list(found)


def array_type(network: Graph, graphs: Mapping[Between, Graph], dtype: DType | None) -> ArrayType:
    """The type of the array of examples: that of the kernel graph, or, given a type of its numbers, of the network, of
    which there need be no kernel graph."""
    if dtype is not None:
        return Packing.of(network).array(dtype, "N")
    type_ = graphs["cross"].inputs[0].type
    assert isinstance(type_, ArrayType)
    return type_
