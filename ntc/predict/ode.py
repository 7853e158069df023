"""Training by gradient descent on any loss: the ordinary differential equation of the outputs, solved by diffrax."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from types import ModuleType
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ntc.backends.jax.concrete import is_staged, is_traced
from ntc.backends.jax.precision import precision
from ntc.errors import InputError, UnsupportedError
from ntc.predict.arithmetic import SolveDType, checked, kernel_dtype, solve_dtype
from ntc.predict.filters import over_time
from ntc.predict.kernels import alike, single
from ntc.predict.layout import Axes, Layout

Loss = Callable[[jax.Array, jax.Array], jax.Array]

TOLERANCES = {"float32": 1e-5, "float64": 1e-8}
"""Of the local error of a step, relative to the outputs, and absolute: some hundred times the rounding in float32."""


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class ODEState:
    """Outputs and their velocities at one time, or at several (in front).

    Attributes:
      fx_train, fx_test: outputs on the training and the test set.
      qx_train, qx_test: their rates of change, if there is momentum.
    """

    fx_train: Any = None
    fx_test: Any = None
    qx_train: Any = None
    qx_test: Any = None

    def replace(self, **changes: Any) -> ODEState:
        """The same state with other values of some fields."""
        return replace(self, **changes)

    def asdict(self) -> dict[str, Any]:
        """The fields by name, arrays as they are."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    def astuple(self) -> tuple[Any, ...]:
        """The fields in order, arrays as they are."""
        return tuple(self.asdict().values())


def gradient_descent(
    loss: Loss,
    k_train_train: Any,
    y_train: Any,
    learning_rate: float = 1.0,
    momentum: float | None = None,
    trace_axes: Axes = (-1,),
    *,
    solve_dtype: SolveDType | None = None,
    tolerance: float | None = None,
    max_steps: int = 100_000,
) -> Dynamics:
    """Outputs at any time of gradient descent on any loss, with a kernel that stays as it is.

    With K the kernel, X the training and x the test inputs, g(f) = dloss(f, y) / df at f = f(X), and b the learning
    rate (Lee et al. 2019, eq. 5 and 6; with momentum m, the limit of its steps for small rates):

        without momentum    df(x)/dt = -b K(x, X) g;
        with momentum       df(x)/dt = sqrt(b) q(x),  dq(x)/dt = sqrt(b) ((m - 1) / sqrt(b) q(x) - K(x, X) g).

    Args:
      loss: function of (outputs, y_train) with a scalar value, mean over entries included: nothing is scaled here.
      k_train_train, y_train, trace_axes: see `gradient_descent_mse`.
      learning_rate: of one step, the unit of time.
      momentum: None, or at least 0 and less than 1.
      solve_dtype: float64 (the default) or float32; inside `jax.jit` it is that of the kernel.
      tolerance: largest local error of a step, relative to the outputs and absolute; default 1e-8 in float64, 1e-5 in
        float32.
      max_steps: of the adaptive solver (Tsitouras 2011, fifth order), whose number grows with time times the largest
        eigenvalue.

    Returns:
      A function of (t, fx_train_or_state_0, fx_test_0, k_test_train).

    Raises:
      InputError: shapes do not fit, or entries are not finite.
      UnsupportedError: diffrax is not installed.
    """
    y, (kernel, name) = checked("y_train", y_train), single(k_train_train, "ntk", "k_train_train")
    if momentum is not None and not is_traced(momentum) and not 0 <= momentum < 1:
        raise InputError(f"momentum should be at least 0 and less than 1, got {momentum}")
    layout = Layout.of(y, trace_axes)
    layout.check("k_train_train", kernel, square=True)
    _diffrax()
    steps = _Steps(tolerance, max_steps)
    return Dynamics(loss, (kernel, name), y, learning_rate, momentum, layout, solve_dtype, steps)


@dataclass(frozen=True)
class _Steps:
    tolerance: float | None
    most: int


class Dynamics:
    """Predictions of `gradient_descent`."""

    def __init__(
        self,
        loss: Loss,
        named_kernel: tuple[Any, str | None],
        y_train: Any,
        learning_rate: float,
        momentum: float | None,
        layout: Layout,
        requested: SolveDType | None,
        steps: _Steps,
    ) -> None:
        self._kernel, self._name = named_kernel
        self._loss, self._y, self._learning_rate = loss, y_train, learning_rate
        self._momentum, self._layout, self._steps = momentum, layout, steps
        self._known_dtype, self._result = solve_dtype(requested), kernel_dtype(self._kernel)

    def __call__(
        self, t: Any = None, fx_train_or_state_0: Any = 0.0, fx_test_0: Any = None, k_test_train: Any = None
    ) -> Any:
        """Outputs on the training and the test set at times t.

        Args:
          t: a number or array of numbers in any order. None is infinity: the solver goes on until no output moves by
            more than ten tolerances per unit of time. If the loss has no minimum that is never, and an error, or only
            far out, as for cross-entropy: give it a time.
          fx_train_or_state_0: outputs on the training set at time 0, one number for all, or an `ODEState`, with which
            training goes on where it was left; then the result is an `ODEState`.
          fx_test_0: outputs on the test set at time 0, or one number for all.
          k_test_train: kernel between test and training inputs, which outputs on the test set need.

        Returns:
          f_t(X), the pair f_t(X), f_t(x), or the state, of shape (*t.shape, *outputs), in the precision of the kernel.

        Raises:
          InputError: shapes do not fit, or the solver does not come to an end. Inside a JAX transformation that is an
            error of equinox when the computation runs.
        """
        state, given = self._initial(fx_train_or_state_0, fx_test_0, k_test_train)
        k_test = None if state.fx_test is None else alike(k_test_train, self._name, "k_test_train")
        arrays = (self._kernel, self._y, t, k_test, self._learning_rate, self._momentum, *jax.tree.leaves(state))
        traced = is_staged() or any(map(is_traced, arrays))
        dtype = jax.dtypes.canonicalize_dtype(self._result) if traced else self._known_dtype
        result = dtype if traced else self._result
        with precision("f64" if not traced and np.float64 in (dtype, result) else "f32"):
            found = self._solved(t, self._arrays(state, k_test, dtype), k_test, dtype, traced)
            found = jax.tree.map(lambda x: jnp.asarray(over_time(t, x), result), found)
        if given:
            return found
        return found.fx_train if k_test is None else (found.fx_train, found.fx_test)

    def _initial(self, given: Any, fx_test_0: Any, k_test_train: Any) -> tuple[ODEState, bool]:
        """What was given as a state, and whether it was one."""
        is_state = isinstance(given, ODEState)
        if is_state and fx_test_0 is not None:
            raise InputError("fx_test_0 is part of the state that is given")
        state = given if is_state else ODEState(given, fx_test_0)
        if state.fx_train is None:
            raise InputError("outputs on the training set at time 0 are needed: the others follow them")
        if state.fx_test is not None and k_test_train is None:
            raise InputError("outputs on the test set need k_test_train")
        return state, is_state

    def _arrays(self, state: ODEState, k_test: Any, dtype: Any) -> ODEState:
        """The state with arrays of full shape, and velocities of zero where there are none."""
        shapes = [self._layout.shape]
        if k_test is not None:
            self._layout.check("k_test_train", k_test)
            shapes.append(self._layout.test_shape(k_test))
        named = {}
        for name, shape in zip(("train", "test"), shapes, strict=False):
            for part in ("fx", "qx")[: 1 if self._momentum is None else 2]:
                value = getattr(state, f"{part}_{name}")
                array = jnp.asarray(0.0 if value is None else checked(f"{part}_{name}", value), dtype)
                if array.ndim and array.shape != shape:
                    raise InputError(f"{part}_{name} should be a number or have shape {shape}, got {array.shape}")
                named[f"{part}_{name}"] = jnp.broadcast_to(array, shape)
        return ODEState(**named)

    def _solved(self, t: Any, state: ODEState, k_test: Any, dtype: Any, traced: bool) -> ODEState:
        """States at times t, in their order, with one axis in front."""
        arguments = self._rate_arguments(k_test, dtype)
        _, (unit, _), _ = arguments
        times = jnp.ravel(jnp.asarray(jnp.inf if t is None else t, dtype)) * unit
        if not times.size or not (traced or bool((times >= 0).all())):
            raise InputError(f"training times t should be numbers that are not negative, got {t}")
        order = jnp.argsort(times)
        solution = self._solution(times[order], t is None, state, arguments, traced)
        back = jnp.argsort(order)
        found: ODEState = jax.tree.map(lambda x: x[back], solution.ys)
        return found

    def _solution(self, times: Any, forever: bool, state: ODEState, arguments: Any, traced: bool) -> Any:
        """The solution of diffrax at ascending times, or at rest. Raises InputError, unless traced."""
        diffrax = _diffrax()
        tolerance = self._steps.tolerance or TOLERANCES[str(np.dtype(times.dtype))]
        rate = _Rate(self._loss, self._layout)
        solution = diffrax.diffeqsolve(
            diffrax.ODETerm(rate),
            diffrax.Tsit5(),
            t0=jnp.zeros_like(times[-1]),
            t1=times[-1],
            dt0=None,
            y0=state,
            args=arguments,
            saveat=diffrax.SaveAt(t1=True) if forever else diffrax.SaveAt(ts=times),
            stepsize_controller=diffrax.PIDController(rtol=tolerance, atol=tolerance),
            max_steps=self._steps.most,
            event=diffrax.Event(_AtRest(rate, tolerance)) if forever else None,
            throw=traced,
        )
        if not (traced or diffrax.is_successful(solution.result) or diffrax.is_event(solution.result)):
            raise InputError(
                f"the solver took {self._steps.most} steps without coming to an end",
                hint="give a time: a loss without a minimum is never at rest"
                if forever
                else "give more max_steps, a shorter time, or a larger tolerance",
            )
        return solution

    def _rate_arguments(self, k_test: Any, dtype: Any) -> tuple[Any, Any, Mapping[str, Any]]:
        """What `_Rate` reads; arguments, so that other kernels compile nothing anew."""
        kernels = {"train": self._kernel} if k_test is None else {"train": self._kernel, "test": k_test}
        matrices = {name: self._layout.matrix(jnp.asarray(kernel, dtype)) for name, kernel in kernels.items()}
        unit = jnp.asarray(self._learning_rate, dtype)
        damping = None
        if self._momentum is not None:
            unit = jnp.sqrt(unit)
            damping = (jnp.asarray(self._momentum, dtype) - 1) / unit
        return jnp.asarray(self._y, dtype), (unit, damping), matrices


@dataclass(frozen=True)
class _Rate:
    """The rate of change of a state, per unit of scaled time. Equal ones are compiled once."""

    loss: Loss
    layout: Layout

    def __call__(self, _: Any, state: ODEState, arguments: tuple[Any, Any, Mapping[str, Any]]) -> ODEState:
        y, (_, damping), kernels = arguments
        slope = self.layout.columns(jax.grad(self.loss)(state.fx_train, y))
        change = {}
        for name, kernel in kernels.items():
            force = -self.layout.outputs(kernel @ slope, getattr(state, f"fx_{name}").shape)
            if damping is None:
                change[f"fx_{name}"] = force
            else:
                velocity = getattr(state, f"qx_{name}")
                change |= {f"fx_{name}": velocity, f"qx_{name}": damping * velocity + force}
        return ODEState(**change)


@dataclass(frozen=True)
class _AtRest:
    """Whether nothing moves any more, in units of the targets or of 1 if that is more.

    At rest, outputs still move by the errors of steps, so it is ten times those. What is not at rest by this is a
    state that grows for ever, however large it is.
    """

    rate: _Rate
    tolerance: float

    def __call__(self, t: Any, state: ODEState, arguments: Any, **_: Any) -> Any:
        speeds = [jnp.max(abs(x)) for x in jax.tree.leaves(self.rate(t, state, arguments))]
        unit = jnp.maximum(1, jnp.max(abs(arguments[0])))
        return jnp.max(jnp.stack(speeds)) < 10 * self.tolerance * unit


def _diffrax() -> ModuleType:
    try:
        import diffrax
    except ImportError:
        raise UnsupportedError(
            "gradient descent on any loss needs diffrax", hint='pip install "neural-tangent-compiler[dynamics]"'
        ) from None
    module: ModuleType = diffrax
    return module
