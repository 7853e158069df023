"""A part of a network as a function of kernels: it continues from covariances in place of inputs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import reduce
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ntc.backends.jax.concrete import is_traced
from ntc.backends.jax.emit.stages import emit
from ntc.backends.jax.run.nonfinite import limited
from ntc.compiler import lower
from ntc.errors import InputError, NonFiniteError, UnsupportedError
from ntc.ir.build import TensorGraphBuilder
from ntc.ir.graph import Graph, kernel_label
from ntc.ir.kernel import Given as GivenCovariance
from ntc.ir.op import covariance
from ntc.ir.ops.given import Given
from ntc.ir.types import Between
from ntc.ir.types import Kernel as KernelName
from ntc.stax.compiled import Precision, default_target, finished
from ntc.stax.covariances import Kernel
from ntc.stax.facts import Fact, facts
from ntc.stax.itself import is_of_itself, is_symmetric
from ntc.stax.layout import Layout
from ntc.stax.part import Part, Tensor, Value, kept
from ntc.stax.presence import both_present, present

Kernels = Any
"""A Kernel, or a tuple of Kernels, nested as the inputs or the results of a part."""

Arrays = dict[str, jax.Array]
"""Given covariances: `nngp0`, `ntk0` of the first Kernel, and `nngp0.N`, `nngp0.M` of single examples of x1 and x2;
`mask0` and so on of the pairs of positions that are there."""


class Continued:
    """One part on kernels of some shapes. Every matrix is computed whole, not in tiles."""

    def __init__(self, part: Part, kernels: Kernels, dtype: Precision) -> None:
        """Raises NtcError where the part does not fit."""
        self.dtype = dtype
        _refuse_unless(len(set(map(_is_masked, leaves(kernels)))) == 1)
        builder = TensorGraphBuilder((), 1)
        result = part.write(builder, _entered(builder, kernels, iter(range(len(leaves(kernels))))))
        self.graph, labels = finished(builder, result)
        self.facts, self._kept = facts(builder, result, labels), kept(result)
        self._diagonal = [i for i, kernel in enumerate(leaves(kernels)) if kernel.diagonal_spatial]
        self._functions: dict[Between, Any] = {}

    def __call__(self, kernels: Kernels, hyper: Mapping[str, Any]) -> Kernels:
        """The kernels of the results, nested as they are. Raises InputError, UnsupportedError for what is not given."""
        every = [reduce(lambda own, part: own.slice(part, part), self._kept, _in_order(x)) for x in leaves(kernels)]
        same = all(map(is_of_itself, every))
        seen = _positions(every)
        first, second = (_alone(every, seen, side) for side in (0, 1))
        given = {**first, **_between(every, seen)}
        given |= {} if same else {key.replace(".N", ".M"): x for key, x in second.items()}
        n1, n2 = every[0].nngp.shape[:2]
        found = self._run("self" if same else "cross", (n1,) if same else (n1, n2), given, hyper)
        cov1 = self._run("diagonal", (n1,), first, hyper)
        cov2 = None if same else self._run("diagonal", (n2,), second, hyper)
        return _results(self.facts, found, cov1, cov2, seen)

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
        """Raises NonFiniteError where what is known is not finite as the integral of a nonlinearity is infinite."""
        if is_traced(outputs) or not (phis := limited(graph)):
            return
        if not all(np.isfinite(x).all() for x in outputs.values()):
            listed = ", ".join(sorted({f"{phi.name} from {phi.largest_variance:.6g} on" for phi in phis.values()}))
            raise NonFiniteError(
                f"kernels are infinite or not numbers, as integrals are at these variances: of {listed}",
                hint="scale the inputs, or the weights of the layer before",
            )

    def _lowered(self, between: Between) -> Graph:
        names: tuple[KernelName, ...] = ("nngp",) if between == "diagonal" else ("nngp", "ntk")
        graph = lower(self.graph, between, names, self.dtype, None, True, form="covariance")
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
    op = Given(next(numbers), tuple(spatial), channels, kernels.is_gaussian, kernels.is_input, _is_masked(kernels))
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


def _is_masked(kernel: Kernel) -> bool:
    return kernel.mask1 is not None or kernel.mask2 is not None


def _positions(kernels: list[Kernel]) -> tuple[Any, Any] | None:
    """Which positions of values on x1 and x2 are there, None if no Kernel has masks. Raises UnsupportedError where
    Kernels differ in that."""
    if not any(map(_is_masked, kernels)):
        return None
    found = []
    for kernel in kernels:
        layout = Layout.of(len(kernel.shape1 or ()), (kernel.batch_axis, kernel.channel_axis))
        shape1 = tuple(kernel.shape1 or ())
        shape2 = shape1 if kernel.shape2 is None else tuple(kernel.shape2)
        mask2 = kernel.mask1 if kernel.cov2 is None else kernel.mask2
        found.append((present(kernel.mask1, shape1, layout), present(mask2, shape2, layout)))
    masks = [(kernel.mask1, kernel.mask2) for kernel in kernels]
    _refuse_unless(all(_is_equal(masks[0], own) for own in masks))
    return found[0]


def _refuse_unless(alike: bool) -> None:
    if not alike:
        raise UnsupportedError("kernels of values with different masks", hint="mask all inputs of a layer alike")


def _is_equal(first: Any, second: Any) -> bool:
    """Whether masks are known to be equal."""
    if isinstance(first, tuple):
        return all(map(_is_equal, first, second))
    if first is second or first is None or second is None:
        return first is second
    return not is_traced((first, second)) and np.array_equal(first, second)


def _alone(kernels: list[Kernel], seen: tuple[Any, Any] | None, side: int) -> Arrays:
    """What is given of each example of x1 (side 0) or x2 (1) with itself."""
    found = {}
    for number, kernel in enumerate(kernels):
        covariance_ = kernel.cov1 if side == 0 or kernel.cov2 is None else kernel.cov2
        found[f"nngp{number}.N"] = _own(kernel, covariance_)
        if seen is not None:
            found[f"mask{number}.N"] = both_present(seen[side], seen[side], 1)
    return found


def _between(kernels: list[Kernel], seen: tuple[Any, Any] | None) -> Arrays:
    """What is given between two examples. A kernel without ntk is of a value without parameters."""
    found = {}
    for number, kernel in enumerate(kernels):
        found[f"nngp{number}"] = nngp = _all_positions(kernel, kernel.nngp, 2)
        found[f"ntk{number}"] = jnp.zeros_like(nngp) if kernel.ntk is None else _all_positions(kernel, kernel.ntk, 2)
        if seen is not None:
            found[f"mask{number}"] = both_present(*seen, 2)
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


def _results(facts_: Any, found: Arrays, cov1: Arrays, cov2: Arrays | None, seen: tuple[Any, Any] | None) -> Kernels:
    if isinstance(facts_, tuple):
        return tuple(_results(one, found, cov1, cov2, seen) for one in facts_)
    nngp, ntk = (kernel_label(facts_.label, kernel) for kernel in ("nngp", "ntk"))
    kernel = facts_.kernel(found[nngp], found[ntk], cov1[nngp], None if cov2 is None else cov2[nngp])
    return kernel if seen is None else _masked(facts_, kernel, seen[0], None if cov2 is None else seen[1])


def _masked(fact: Fact, kernel: Kernel, first: Any, second: Any) -> Kernel:
    return fact.masked(kernel, {Given.name: first}, None if second is None else {Given.name: second})
