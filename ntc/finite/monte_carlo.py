"""Kernels of infinitely wide networks, estimated from random networks of finite width."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from inspect import Parameter, signature
from itertools import pairwise
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from ntc.backends.jax.concrete import is_traced
from ntc.errors import InputError, ParameterError
from ntc.finite.arguments import second_of
from ntc.finite.axes import Axes
from ntc.finite.empirical import empirical_kernel_fn
from ntc.finite.implementation import NtkImplementation
from ntc.finite.pairs_of_blocks import in_blocks

Function = Callable[..., Any]
Progress = Callable[[int, int], None]

_AT_ONCE = 16
"""Networks of one call of the compiled loop."""


class MonteCarloEstimate(NamedTuple):
    """Means over networks, and the standard errors of these means, NaN for one network."""

    mean: Any
    standard_error: Any
    samples: int


def monte_carlo_kernel_fn(
    init_fn: Function,
    apply_fn: Function,
    key: jax.Array,
    n_samples: int | Iterable[int],
    batch_size: int = 0,
    device_count: int = -1,
    store_on_device: bool = True,
    trace_axes: Axes = (-1,),
    diagonal_axes: Axes = (),
    vmap_axes: Any = None,
    implementation: NtkImplementation | int = NtkImplementation.JACOBIAN_CONTRACTION,
    *,
    standard_error: bool = False,
    precision: float | None = None,
    progress: Progress | None = None,
) -> Function:
    """Means of empirical kernels over random networks (Novak et al. 2019, section 4: for `trace_axes` of n channels,
    the NNGP is the mean of M n products, and its relative error falls as 1 / sqrt(M n)).

    Args:
      init_fn: init_fn(key, shape of x) -> (shape of the outputs, params), as in `jax.example_libraries.stax`.
      apply_fn: apply_fn(params, x, **keywords), any pytrees. If it has an argument `rng`, it is given a key.
      key: from which every network has a key of its own, the same whatever the blocks.
      n_samples: how many networks; or several numbers, growing, at each of which a generator yields the estimate.
      batch_size: examples of x1 and of x2 whose kernel is computed at a time; 0 is all.
      device_count: of no effect: networks are computed one after another, on the default device.
      store_on_device: False gives NumPy arrays.
      trace_axes, diagonal_axes, vmap_axes, implementation: as for `empirical_kernel_fn`.
      standard_error: gives `MonteCarloEstimate` of what is asked for instead of its mean.
      precision: stops when no standard error is above this part of the largest entry of its kernel; `n_samples` is then
        the largest number of networks.
      progress: called with the number of networks done, and of all.

    Returns:
      kernel_fn(x1, x2, get, **keywords), x2=None for x1, `get` as for `empirical_kernel_fn`. Keywords that are pairs
      of arrays with a row per example of x1 and x2 are cut into blocks with them. It is differentiable.

    Raises:
      ParameterError: a number is out of range, or numbers do not grow.
      InputError: when called with no examples, or, given a precision, within a JAX transformation.
    """
    several = not isinstance(n_samples, int)
    counts = tuple(n_samples) if isinstance(n_samples, Iterable) else (n_samples,)
    _check(counts, batch_size, device_count, precision)
    if batch_size:
        _check_axes(trace_axes, diagonal_axes)
    kernel_fn = empirical_kernel_fn(apply_fn, trace_axes, diagonal_axes, vmap_axes, implementation)
    sampler = _Sampler(init_fn, kernel_fn, _takes_key(apply_fn), batch_size)

    def estimates(x1: Any, x2: Any, get: Any, **keywords: Any) -> Iterator[Any]:
        for found in sampler.estimates(key, counts, (x1, x2, get, keywords), precision, progress):
            shown = found if standard_error else found.mean
            yield shown if store_on_device or is_traced(shown) else jax.tree.map(np.asarray, shown)

    def estimate(x1: Any, x2: Any = None, get: Any = None, **keywords: Any) -> Any:
        found = estimates(x1, second_of(x1, x2), get, **keywords)
        return found if several else next(found)

    return estimate


def _check(counts: tuple[int, ...], batch_size: int, device_count: int, precision: float | None) -> None:
    if not counts or any(isinstance(n, bool) or not isinstance(n, int) or n < 1 for n in counts):
        raise ParameterError(f"n_samples should be whole numbers from 1, got {counts}")
    if any(b <= a for a, b in pairwise(counts)):
        raise ParameterError(f"n_samples should grow, got {counts}")
    if batch_size < 0:
        raise ParameterError(f"batch_size should be 0 or more, got {batch_size}")
    if precision is not None and not precision > 0:
        raise ParameterError(f"precision should be positive, got {precision}")
    if isinstance(device_count, bool) or not isinstance(device_count, int) or device_count < -1:
        raise ParameterError(f"device_count should be a whole number from -1, got {device_count!r}")


def _check_axes(*given: Axes) -> None:
    """In blocks, kernels are put together along their first two axes."""
    if any(0 in ((axes,) if isinstance(axes, int) else tuple(axes)) for axes in given):
        raise ParameterError(
            "with batch_size, kernels should have two axes of examples", hint="leave 0 out of the axes, or batch_size"
        )


def _takes_key(apply_fn: Function) -> bool:
    try:
        parameters = signature(apply_fn).parameters
    except ValueError:
        return False
    return "rng" in parameters or any(x.kind is Parameter.VAR_KEYWORD for x in parameters.values())


@dataclass(frozen=True)
class _Sampler:
    """Networks one after another in one compiled loop: side by side, convolutions become grouped ones, for which XLA
    takes longer."""

    init_fn: Function
    kernel_fn: Function
    takes_key: bool
    batch_size: int

    def estimates(
        self,
        key: jax.Array,
        counts: tuple[int, ...],
        arguments: tuple[Any, ...],
        precision: float | None,
        progress: Progress | None,
    ) -> Iterator[MonteCarloEstimate]:
        """At every count; early, and then the last, where the precision is reached."""
        keys = jax.random.split(key, counts[-1])
        state, done = None, 0
        report = progress or (lambda done, total: None)
        traced = is_traced((key, *arguments))
        if traced and precision is not None:
            raise InputError("a precision needs numbers that are known", hint="give n_samples alone")
        # A loop with a number of networks that is known while tracing is one that reverse mode can pass.
        step = jax.jit(partial(self._moments, arguments[2]), static_argnums=2 if traced else None)
        for count in counts:
            while done < count:
                report(done, counts[-1])
                size = min(_AT_ONCE, count - done)
                part = step(keys, done, size, arguments[0], arguments[1], arguments[3])
                state = part if state is None else _combined(state, done, part, size)
                done += size
                if precision is not None and done > 1 and _precise(state, done, precision):
                    break
            report(done, counts[-1])
            assert state is not None
            yield MonteCarloEstimate(state[0], _standard_error(state[1], done), done)
            if done < count:
                return

    def _moments(self, get: Any, keys: Any, first: Any, count: Any, x1: Any, x2: Any, keywords: Any) -> tuple[Any, Any]:
        """Means over the networks of some keys, and sums of squared differences from them (Welford 1962). Which keys is
        known when it runs, and how many unless it is a number, so that one compiled loop serves every number."""
        one = jax.eval_shape(partial(self._one, get), keys[0], x1, x2, keywords)
        zeros = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), one)

        def step(i: jax.Array, state: tuple[Any, Any]) -> tuple[Any, Any]:
            mean, squares = state
            found = self._one(get, keys[first + i], x1, x2, keywords)
            change = jax.tree.map(jnp.subtract, found, mean)
            mean = jax.tree.map(lambda m, c: m + c / (i + 1), mean, change)
            after = jax.tree.map(jnp.subtract, found, mean)
            return mean, jax.tree.map(lambda s, a, b: s + a * b, squares, change, after)

        body = jax.checkpoint(step) if isinstance(count, int) else step  # so that one network's derivatives are held
        found: tuple[Any, Any] = lax.fori_loop(0, count, body, (zeros, zeros))
        return found

    def _one(self, get: Any, key: jax.Array, x1: Any, x2: Any, keywords: Any) -> Any:
        """The kernel of one network."""
        own, noise = jax.random.split(key)
        _, params = self.init_fn(own, jax.tree.map(jnp.shape, x1))
        given = {"rng": noise, **keywords} if self.takes_key else keywords

        def kernel(a: Any, b: Any, pairs: Any) -> Any:
            return self.kernel_fn(a, b, get, params, **given | pairs)

        if not self.batch_size:
            return kernel(x1, x2, {})
        return in_blocks(kernel, x1, x2, given, self.batch_size)


def _combined(state: tuple[Any, Any], done: int, part: tuple[Any, Any], size: int) -> tuple[Any, Any]:
    """Means and sums of squares of two sets (Chan, Golub & LeVeque 1983, eq. 1.5)."""
    total = done + size
    change = jax.tree.map(jnp.subtract, part[0], state[0])
    mean = jax.tree.map(lambda m, c: m + c * (size / total), state[0], change)
    squares = jax.tree.map(lambda a, b, c: a + b + c**2 * (done * size / total), state[1], part[1], change)
    return mean, squares


def _standard_error(squares: Any, done: int) -> Any:
    return jax.tree.map(lambda s: jnp.sqrt(s / (done * (done - 1))) if done > 1 else jnp.full_like(s, jnp.nan), squares)


def _precise(state: tuple[Any, Any], done: int, precision: float) -> bool:
    errors = jax.tree.leaves(_standard_error(state[1], done))
    means = jax.tree.leaves(state[0])
    return all(bool(e.max() <= precision * jnp.abs(m).max()) for e, m in zip(errors, means, strict=True))
