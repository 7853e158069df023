"""The empirical NTK of a function at one pair of batches, by a given implementation, output by output."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax

from ntc.finite.arguments import VmapAxes, axes_of_leaves, mapped_keywords, per_example, split_keywords
from ntc.finite.axes import Axes, output_axes
from ntc.finite.blocks import MEMORY_BUDGET, Computed, Output, in_blocks
from ntc.finite.implementation import NtkImplementation
from ntc.finite.jacobians import Derivatives, Side, Single, contracted, derivatives, shapes, size_of_products
from ntc.finite.products import ntk_by_products, size_of_directions

Function = Callable[..., Any]
OfSide = Callable[..., Derivatives]


@dataclass(frozen=True)
class Ntk:
    """f and the arguments of `empirical_ntk_fn`; called with two batches it gives the kernels as a tree like f's."""

    f: Function
    vmap_axes: VmapAxes | None
    trace_axes: Axes
    diagonal_axes: Axes
    implementation: NtkImplementation
    memory_budget: int = MEMORY_BUDGET

    def __call__(self, x1: Any, x2: Any, params: Any, keywords: Mapping[str, Any]) -> Any:
        """The kernel of every output."""
        structure = self.structure(x1, params, keywords)
        return jax.tree.unflatten(structure, [self._kernel(y, params) for y in self.outputs(x1, x2, params, keywords)])

    def structure(self, x1: Any, params: Any, keywords: Mapping[str, Any]) -> Any:
        """Of the tree that f returns."""
        return jax.tree.structure(self._shapes(params, x1, split_keywords(keywords, True)[0]))

    def parts(self, x1: Any, x2: Any, params: Any, keywords: Mapping[str, Any]) -> list[list[jax.Array]]:
        """The kernel of every output (outer) that belongs to every array of parameters (inner)."""
        return [self._parts(y, params) for y in self.outputs(x1, x2, params, keywords)]

    def outputs(self, x1: Any, x2: Any, params: Any, keywords: Mapping[str, Any]) -> Iterator[Output]:
        """The outputs of f, one by one. Raises InputError for axes that do not fit."""
        same = x2 is None
        split = split_keywords(keywords, same)
        shapes = [self._shapes(params, x, given) for x, given in zip((x1, x1 if same else x2), split, strict=True)]
        places = axes_of_leaves(None if self.vmap_axes is None else self.vmap_axes.out, shapes[0])
        for number, (y1, y2, place) in enumerate(zip(*map(jax.tree.leaves, shapes), places, strict=True)):
            axes = output_axes(y1.ndim, self.trace_axes, self.diagonal_axes)
            axes.check(y1.shape, y2.shape)
            yield Output(
                self._side(number, x1, split[0]),
                None if same else self._side(number, x2, split[1]),
                axes,
                None if place is None else place % y1.ndim,
                axes.normalizer(y1.shape),
            )

    def _side(self, number: int, x: Any, keywords: Mapping[str, Any]) -> Side:
        mapped, fixed = mapped_keywords(self.vmap_axes, keywords)
        return _output(per_example(self.f, self.vmap_axes, fixed), number), x, mapped

    def _shapes(self, params: Any, x: Any, keywords: Mapping[str, Any]) -> Any:
        return jax.eval_shape(lambda p, x: self.f(p, x, **keywords), params, x)

    def _kernel(self, output: Output, params: Any) -> jax.Array:
        def total(part: Output) -> list[jax.Array]:
            first, *others = self._values(part, params)
            for other in others:
                first = first + other
            return [first]

        return self._in_blocks(total, output, params)[0]

    def _parts(self, output: Output, params: Any) -> list[jax.Array]:
        return self._in_blocks(partial(self._values, params=params), output, params)

    def _in_blocks(self, compute: Computed, output: Output, params: Any) -> list[jax.Array]:
        axes = self.vmap_axes
        if axes is None:
            return compute(output)
        return in_blocks(compute, partial(self._needed, params, axes), output, axes, self.memory_budget)

    def _values(self, output: Output, params: Any) -> list[jax.Array]:
        """The kernels of all parameters, or one of all of them."""
        if self.implementation is NtkImplementation.NTK_VECTOR_PRODUCTS:
            other = output.first if output.second is None else output.second
            kernel = ntk_by_products(output.first, other, params, self.vmap_axes, output.axes, output.batch)
            return [kernel / output.normalizer]
        first, second = self._both(derivatives, output, params)
        parts = contracted(first, second, output.axes, output.batch)
        return [parts[i] / output.normalizer for i in sorted(parts)]

    def _both(
        self, of_side: Callable[..., Derivatives], output: Output, params: Any
    ) -> tuple[Derivatives, Derivatives]:
        structured = self.implementation is NtkImplementation.STRUCTURED_DERIVATIVES
        first = of_side(output.first, params, self.vmap_axes, output.batch, structured)
        if output.second is None:
            return first, first
        return first, of_side(output.second, params, self.vmap_axes, output.batch, structured)

    def _needed(self, params: Any, axes: VmapAxes, output: Output) -> int:
        """Bytes of derivatives, and of the largest product of them; without what f needs itself."""
        if self.implementation is NtkImplementation.NTK_VECTOR_PRODUCTS:
            second = output.first if output.second is None else output.second
            return size_of_directions(second, params, axes)
        return size_of_products(*self._both(shapes, output, params), output.axes, output.batch)


def _output(function: Function, number: int) -> Single:
    def single(params: Any, x: Any, mapped: Any) -> jax.Array:
        found: jax.Array = jax.tree.leaves(function(params, x, mapped))[number]
        return found

    return single
