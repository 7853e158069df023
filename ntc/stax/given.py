"""A part of a network as a function of kernels: it continues from covariances in place of inputs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ntc.backends.jax.known import is_traced
from ntc.backends.jax.limits import limited
from ntc.backends.jax.loops import emit
from ntc.compiler import lower
from ntc.errors import InputError, UnsupportedError
from ntc.ir.build import TensorGraphBuilder
from ntc.ir.graph import Graph, kernel_label
from ntc.ir.kernel import Given as GivenCovariance
from ntc.ir.op import covariance
from ntc.ir.ops.given import Given
from ntc.ir.types import Between
from ntc.ir.types import Kernel as KernelName
from ntc.stax.compiled import Precision, default_target, finished
from ntc.stax.covariances import Kernel
from ntc.stax.facts import facts
from ntc.stax.itself import is_of_itself, is_symmetric
from ntc.stax.layout import Layout
from ntc.stax.part import Part, Tensor, Value

Kernels = Any
"""A Kernel, or a tuple of Kernels, nested as the inputs or the results of a part."""

Arrays = dict[str, jax.Array]
"""Given covariances: `nngp0`, `ntk0` of the first Kernel, and `nngp0.N`, `nngp0.M` of single examples of x1 and x2."""


class Continued:
    """One part on kernels of some shapes. Every matrix is computed whole, not in tiles."""

    def __init__(self, part: Part, kernels: Kernels, dtype: Precision) -> None:
        """Raises NtcError where the part does not fit."""
        self.dtype = dtype
        builder = TensorGraphBuilder((), 1)
        result = part.write(builder, _entered(builder, kernels, iter(range(len(leaves(kernels))))))
        self.graph, labels = finished(builder, result)
        self.facts = facts(builder, result, labels)
        self._diagonal = [i for i, kernel in enumerate(leaves(kernels)) if kernel.diagonal_spatial]
        self._functions: dict[Between, Any] = {}

    def __call__(self, kernels: Kernels, hyper: Mapping[str, Any]) -> Kernels:
        """The kernels of the results, nested as they are. Raises InputError, UnsupportedError for what is not given."""
        every = list(map(_in_order, leaves(kernels)))
        same = all(map(is_of_itself, every))
        first = {f"nngp{i}.N": _own(kernel, kernel.cov1) for i, kernel in enumerate(every)}
        second = {f"nngp{i}.N": _own(x, x.cov1 if x.cov2 is None else x.cov2) for i, x in enumerate(every)}
        given = {**first, **_between(every)}
        given |= {} if same else {key.replace(".N", ".M"): x for key, x in second.items()}
        n1, n2 = every[0].nngp.shape[:2]
        found = self._run("self" if same else "cross", (n1,) if same else (n1, n2), given, hyper)
        cov1 = self._run("diagonal", (n1,), first, hyper)
        cov2 = None if same else self._run("diagonal", (n2,), second, hyper)
        return _results(self.facts, found, cov1, cov2)

    def _run(self, between: Between, counts: tuple[int, ...], given: Arrays, hyper: Mapping[str, Any]) -> Arrays:
        """The outputs of the graph for some pairs of examples."""
        if between not in self._functions:
            graph = self._lowered(between)
            self._functions[between] = graph, jax.jit(emit(graph, default_target()))
        graph, function = self._functions[between]
        own = {name: hyper[name] for name in graph.hypers}
        dtype = jnp.dtype(self.dtype)
        examples = [jnp.zeros((count, 1), dtype) for count in counts]
        cast = {key: jnp.asarray(x, dtype) for key, x in given.items()}
        outputs: Arrays = function(*examples, given=cast, **({"hyper": own} if own else {}))
        self._check_finite(graph, outputs)
        return outputs

    def _check_finite(self, graph: Graph, outputs: Arrays) -> None:
        """Raises UnsupportedError where what is known is not finite as the integral of a nonlinearity is infinite."""
        if not (phis := limited(graph)) or is_traced(outputs):
            return
        if not all(np.isfinite(x).all() for x in outputs.values()):
            listed = ", ".join(f"{phi.name} from {phi.largest_variance:.6g} on" for phi in phis.values())
            raise UnsupportedError(
                f"kernels are infinite or not numbers, as integrals are at these variances: of {listed}",
                hint="scale the inputs, or the weights of the layer before",
            )

    def _lowered(self, between: Between) -> Graph:
        names: tuple[KernelName, ...] = ("nngp",) if between == "diagonal" else ("nngp", "ntk")
        dtype, target = self.dtype, default_target()
        graph = lower(self.graph, between, names, dtype, None, True, target, form="covariance")
        for node in graph.nodes:
            own_positions = all(x.low == x.high == 0 for x in covariance(node.type).offsets)
            if isinstance(node.op, GivenCovariance) and node.op.number in self._diagonal and not own_positions:
                raise UnsupportedError(
                    "a kernel with diagonal_spatial=True lacks covariances between positions that the network reads",
                    hint="compute it with diagonal_spatial=False",
                )
        return graph


def leaves(kernels: Kernels) -> list[Kernel]:
    """The Kernels in nested tuples."""
    if isinstance(kernels, tuple | list):
        return [one for each in kernels for one in leaves(each)]
    return [kernels]


def _in_order(kernel: Kernel) -> Kernel:
    """With spatial axes in order. Raises InputError, UnsupportedError for a Kernel that cannot be continued from."""
    if kernel.cov1 is None or kernel.shape1 is None:
        raise InputError("a kernel that a network continues from needs cov1 and shape1")
    if kernel.mask1 is not None or kernel.mask2 is not None:
        raise UnsupportedError("kernels with masks", hint="give mask_constant with the inputs of one kernel_fn")
    if kernel.cov2 is None and not (kernel.x1_is_x2 and is_symmetric(kernel)):
        contradicted = ": x1_is_x2 is true, but nngp or ntk is not symmetric" if kernel.x1_is_x2 else ""
        raise InputError(f"a kernel of different x1 and x2 needs cov2{contradicted}")
    return kernel.reverse() if kernel.is_reversed else kernel


def _entered(builder: TensorGraphBuilder, kernels: Kernels, numbers: Iterator[int]) -> Value:
    """A value of the graph for every Kernel."""
    if isinstance(kernels, tuple | list):
        return tuple(_entered(builder, kernel, numbers) for kernel in kernels)
    kernels = _in_order(kernels)
    shape = tuple(kernels.shape1)
    layout = Layout.of(len(shape), (kernels.batch_axis, kernels.channel_axis))
    _, *spatial, channels = layout.standard(shape)
    _check_shapes(kernels, tuple(spatial))
    op = Given(next(numbers), tuple(spatial), channels, kernels.is_gaussian, kernels.is_input)
    return Tensor(builder.append(op, [builder.input]), layout)


def _check_shapes(kernel: Kernel, spatial: tuple[int, ...]) -> None:
    """Raises InputError where a matrix has another shape than the Kernel says."""
    sizes = tuple(n for size in spatial for n in ((size,) if kernel.diagonal_spatial else (size, size)))
    for name, x, batch in (
        ("nngp", kernel.nngp, 2),
        ("ntk", kernel.ntk, 2),
        ("cov1", kernel.cov1, 1 if kernel.diagonal_batch else 2),
        ("cov2", kernel.cov2, 1 if kernel.diagonal_batch else 2),
    ):
        if x is not None and tuple(x.shape[batch:]) != sizes:
            raise InputError(f"{name} of shape {tuple(x.shape)} does not fit values of spatial shape {spatial}")


def _between(kernels: list[Kernel]) -> Arrays:
    """What is given between two examples. A kernel without ntk is of a value without parameters."""
    found = {}
    for number, kernel in enumerate(kernels):
        found[f"nngp{number}"] = nngp = _all_positions(kernel, kernel.nngp, 2)
        found[f"ntk{number}"] = jnp.zeros_like(nngp) if kernel.ntk is None else _all_positions(kernel, kernel.ntk, 2)
    return found


def _own(kernel: Kernel, x: Any) -> Any:
    """Covariances of each example with itself."""
    return _all_positions(kernel, x if kernel.diagonal_batch else jnp.einsum("nn...->n...", x), 1)


def _all_positions(kernel: Kernel, x: Any, first: int) -> Any:
    """With every spatial axis twice, in order, behind `first` axes; zeros where nothing is known."""
    x = jnp.asarray(x)
    if not kernel.diagonal_spatial:
        return x
    for axis in range(x.ndim - first):
        at = first + 2 * axis
        eye = jnp.eye(x.shape[at], dtype=x.dtype).reshape(
            *(1,) * at, x.shape[at], x.shape[at], *(1,) * (x.ndim - at - 1)
        )
        x = jnp.expand_dims(x, at + 1) * eye
    return x


def _results(facts_: Any, found: Arrays, cov1: Arrays, cov2: Arrays | None) -> Kernels:
    if isinstance(facts_, tuple):
        return tuple(_results(one, found, cov1, cov2) for one in facts_)
    nngp, ntk = (kernel_label(facts_.label, kernel) for kernel in ("nngp", "ntk"))
    return facts_.kernel(found[nngp], found[ntk], cov1[nngp], None if cov2 is None else cov2[nngp])
