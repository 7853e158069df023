"""Empirical kernels of a finite network: of the outputs of f(params, x), and of their derivatives by parameters."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from ntc.errors import ParameterError
from ntc.finite.arguments import VmapAxes, second_of, split_keywords
from ntc.finite.axes import Axes, output_axes
from ntc.finite.blocks import MEMORY_BUDGET
from ntc.finite.choice import Choice
from ntc.finite.implementation import NtkImplementation
from ntc.finite.ntk import Function, Ntk
from ntc.finite.products import ntk_product
from ntc.ir.named import Get, answered, asked

KERNELS = ("nngp", "ntk")


def empirical_nngp_fn(f: Function, trace_axes: Axes = (-1,), diagonal_axes: Axes = ()) -> Function:
    """The kernel f(x1) f(x2)^T of the outputs of a finite network.

    Args:
      f: f(params, x, **keywords); params, x and outputs are any pytrees. Outputs do not mix: each has its own kernel.
      trace_axes: axes of an output over which the kernel is averaged: entries with equal index only.
      diagonal_axes: axes of which only entries with equal index are kept.

    Returns:
      nngp_fn(x1, x2, params, **keywords); x2=None is x1. All other axes of an output come twice, next to each other:
      (n1, n2) for outputs (n, channels) and the default axes.

    Raises:
      InputError: axes are not there, or both traced and kept once.
    """

    def nngp_fn(x1: Any, x2: Any, params: Any, **keywords: Any) -> Any:
        x2 = second_of(x1, x2)
        one, other = split_keywords(keywords, x2 is None)
        y1 = f(params, x1, **one)
        y2 = y1 if x2 is None else f(params, x2, **other)

        def kernel(a: jax.Array, b: jax.Array) -> jax.Array:
            axes = output_axes(a.ndim, trace_axes, diagonal_axes)
            axes.check(a.shape, b.shape)
            found = jnp.einsum(a, axes.first, b, axes.second, axes.kernel, precision=lax.Precision.HIGHEST)
            return found / axes.normalizer(a.shape)

        return jax.tree.map(kernel, y1, y2)

    return nngp_fn


def empirical_ntk_fn(
    f: Function,
    trace_axes: Axes = (-1,),
    diagonal_axes: Axes = (),
    vmap_axes: Any = None,
    implementation: NtkImplementation | int = NtkImplementation.JACOBIAN_CONTRACTION,
    memory_budget: int = MEMORY_BUDGET,
) -> Function:
    """The kernel J(x1) J(x2)^T of a finite network, J its Jacobian by all parameters (Jacot et al. 2018).

    Args:
      f, trace_axes, diagonal_axes: as for `empirical_nngp_fn`.
      vmap_axes: (axes of x, axes of outputs, axes of keyword arguments by name) along which examples do not
        influence each other, as `jax.vmap` takes them; one value for both x and outputs. None where they may. It is
        what makes Jacobians small: say 0 for a network without batch normalisation.
      implementation: how it is computed, see `NtkImplementation`.
      memory_budget: bytes for derivatives and their products. Where those of all examples need more, and `vmap_axes`
        says that examples are independent, the kernel is computed in blocks of examples, which costs derivatives
        once for each pair of blocks; with x2=None each pair is computed once, and mirrored.

    Returns:
      ntk_fn(x1, x2, params, **keywords), which may be jitted. Shapes are those of `empirical_nngp_fn`. Of keyword
      arguments a tuple of two is one for x1 and one for x2, and a key `rng` is split.

    Raises:
      ParameterError: there is no such implementation.
      InputError: axes are not there, or both traced and kept once.
    """
    if implementation not in list(NtkImplementation):
        raise ParameterError(f"there is no implementation {implementation!r}", hint="0, 1, 2 or 3")
    mapping = VmapAxes.of(vmap_axes)
    choice = Choice()

    def ntk_fn(x1: Any, x2: Any, params: Any, **keywords: Any) -> Any:
        def computed(how: NtkImplementation) -> Function:
            return partial(Ntk(f, mapping, trace_axes, diagonal_axes, how, memory_budget), keywords=keywords)

        how = NtkImplementation(implementation)
        if how is NtkImplementation.AUTO:
            how = choice.of(computed, (x1, second_of(x1, x2), params), keywords)
        return computed(how)(x1, second_of(x1, x2), params)

    return ntk_fn


def empirical_kernel_fn(
    f: Function,
    trace_axes: Axes = (-1,),
    diagonal_axes: Axes = (),
    vmap_axes: Any = None,
    implementation: NtkImplementation | int = NtkImplementation.JACOBIAN_CONTRACTION,
    memory_budget: int = MEMORY_BUDGET,
) -> Function:
    """Both empirical kernels: kernel_fn(x1, x2, get, params, **keywords).

    `get` is "nngp", "ntk", in any case, a tuple of these, or None for both; of a tuple the result is a named tuple in
    the order asked for, for every output of f. The arguments are those of `empirical_ntk_fn`. Raises InputError for
    another `get`.
    """
    functions = {
        "nngp": empirical_nngp_fn(f, trace_axes, diagonal_axes),
        "ntk": empirical_ntk_fn(f, trace_axes, diagonal_axes, vmap_axes, implementation, memory_budget),
    }

    def kernel_fn(x1: Any, x2: Any, get: Get, params: Any, **keywords: Any) -> Any:
        names = asked(get, KERNELS, KERNELS)
        found = [functions[name](x1, x2, params, **keywords) for name in names]

        def of_output(*kernels: Any) -> Any:
            return answered("EmpiricalKernels", get, KERNELS, dict(zip(names, kernels, strict=True)))

        return jax.tree.map(of_output, *found)

    return kernel_fn


def empirical_ntk_vp_fn(f: Function, x1: Any, x2: Any, params: Any, **keywords: Any) -> Callable[[Any], Any]:
    """v -> J(x1) J(x2)^T v without the kernel, at the cost of a few evaluations of f.

    v has the structure and shapes of f(params, x2), the result those of f(params, x1); x2=None is x1.
    """
    one, other = split_keywords(keywords, x2 is None)
    second = x1 if x2 is None else x2
    return ntk_product(lambda p: f(p, x1, **one), lambda p: f(p, second, **other), params)
