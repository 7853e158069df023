"""Functions of JAX that somebody has, imported as networks: recognised, with the same values and the right kernels."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

import ntc
from ntc import nn
from ntc.backends.jax.concrete import is_traced
from ntc.errors import InputError, NoLimitError, ParameterError
from ntc.importing import Estimated, Imported
from tests.assertions import assert_close, assert_unbiased

Draw = Callable[[Any], Any]
IMAGES = np.random.default_rng(0).normal(size=(3, 8, 8, 3))
ROWS = np.random.default_rng(1).normal(size=(3, 5))


def drawing(**shapes: tuple[int, ...]) -> Draw:
    """A function that draws weights of He et al., biases (names with b) of standard deviation 0.1."""

    def draw(key: Any) -> Any:
        scales = {
            k: 0.1 if "b" in k else (2 / np.prod(s[1:2] if len(s) == 3 else s[:-1])) ** 0.5 for k, s in shapes.items()
        }
        if is_traced(key):
            keys = dict(zip(shapes, jax.random.split(key, len(shapes)), strict=True))
            return {k: scales[k] * jax.random.normal(keys[k], s) for k, s in shapes.items()}
        generator = np.random.default_rng(np.asarray(jax.random.key_data(key)))
        return {k: scales[k] * generator.normal(size=s) for k, s in shapes.items()}

    return draw


def convolution(x: Any, w: Any, stride: int = 1, padding: Any = "SAME", **options: Any) -> Any:
    numbers = ("NHWC", "HWIO", "NHWC")
    return lax.conv_general_dilated(x, w, (stride, stride), padding, dimension_numbers=numbers, **options)


def normalized(x: Any, axes: Any = (-1,), eps: float = 1e-3) -> Any:
    return (x - x.mean(axes, keepdims=True)) * lax.rsqrt(x.var(axes, keepdims=True) + eps)


def mlp(p: Any, x: Any) -> Any:
    return jnp.tanh(x @ p["w1"] + p["b1"]) @ p["w2"]


def cnn(p: Any, x: Any) -> Any:
    x = jax.nn.relu(normalized(convolution(x, p["w1"]) + p["b1"]))
    x = convolution(
        lax.reduce_window(x, 0.0, lax.add, (1, 2, 2, 1), (1, 2, 2, 1), "VALID") / 4, p["w2"], 2, ((1, 1), (1, 1))
    )
    return jax.nn.gelu(x + p["b2"]).mean((1, 2)) @ p["w3"]


def residual(p: Any, x: Any) -> Any:
    h = convolution(x, p["w1"])
    h = h + convolution(jax.nn.silu(h), p["w2"], rhs_dilation=(2, 2))
    return jax.nn.relu(h).reshape(len(x), -1) @ p["w3"] + p["b3"]


def channels_first(p: Any, x: Any) -> Any:
    numbers = ("NCHW", "OIHW", "NCHW")
    h = lax.conv_general_dilated(x, p["w1"].transpose(3, 2, 0, 1), (1, 1), "SAME", dimension_numbers=numbers)
    h = jax.nn.relu(h + p["b1"][:, None, None])
    return h.reshape(len(x), -1) @ p["w3"].reshape(8, 8, 4, 2).transpose(2, 0, 1, 3).reshape(-1, 2)


def patches(p: Any, x: Any) -> Any:
    h = x.reshape(len(x), 4, 2, 4, 2, 3).transpose(0, 1, 3, 2, 4, 5).reshape(len(x), 16, 12)
    h = normalized(h @ p["w1"] + p["b1"])
    return (h + jax.nn.gelu(h @ p["w2"], approximate=False)).mean(1) @ p["w3"]


def scanned(p: Any, x: Any) -> Any:
    h, _ = lax.scan(lambda h, w: (jax.nn.relu(h) @ w, None), x @ p["w1"], p["w2"])
    return jax.nn.softplus(h) @ p["w3"]


def gained(p: Any, x: Any) -> Any:
    h = normalized(x @ p["w1"])
    return jax.nn.relu(h * p["scale"] + p["bshift"]) @ p["w2"]


def draw_gained(key: Any) -> Any:
    own = drawing(w1=(5, 16), w2=(16, 2))(key)
    return own | {"scale": np.ones(16), "bshift": np.zeros(16)}


FUNCTIONS: dict[str, tuple[Any, Draw, Any]] = {
    "mlp": (mlp, drawing(w1=(5, 16), b1=(16,), w2=(16, 2)), ROWS),
    "cnn": (cnn, drawing(w1=(3, 3, 3, 8), b1=(8,), w2=(3, 3, 8, 8), b2=(8,), w3=(8, 2)), IMAGES),
    "residual": (residual, drawing(w1=(3, 3, 3, 4), w2=(3, 3, 4, 4), w3=(256, 2), b3=(2,)), IMAGES),
    "channels_first": (
        channels_first,
        drawing(w1=(3, 3, 3, 4), b1=(4,), w3=(256, 2)),
        np.moveaxis(IMAGES, -1, 1),
    ),
    "patches": (patches, drawing(w1=(12, 16), b1=(16,), w2=(16, 16), w3=(16, 2)), IMAGES),
    "scanned": (scanned, drawing(w1=(5, 16), w2=(3, 16, 16), w3=(16, 2)), ROWS),
    "gained": (gained, draw_gained, ROWS),
}


def imported(name: str, **options: Any) -> Imported:
    """The network of one of the functions."""
    function, draw, x = FUNCTIONS[name]
    found = ntc.from_jax(function, draw, x, channel_axis=1 if name == "channels_first" else -1, **options)
    assert isinstance(found, Imported)
    return found


@pytest.mark.parametrize("name", FUNCTIONS)
def test_finite_networks_have_the_values_of_the_function(name: str) -> None:
    """Protects the correspondence of parameters: numbers of any parameters, to rounding, in both precisions."""
    function, draw, x = FUNCTIONS[name]
    found = imported(name)
    for wide, tolerance in ((True, "float64"), (False, "float32")):
        with jax.enable_x64(wide):
            values = jax.tree.map(lambda a: jnp.asarray(np.asarray(a) + 0.1), draw(jax.random.key(9)))
            assert_close(found.apply(values, jnp.asarray(x)), function(values, jnp.asarray(x)), tolerance)  # type: ignore[arg-type]


EXPECTED = {
    "mlp": nn.input(5)
    >> nn.dense(16, 2**0.5, 0.1, parameterization="standard")
    >> nn.tanh()
    >> nn.dense(2, 2**0.5, parameterization="standard", bias=False),
    "scanned": nn.input(5)
    >> nn.dense(16, 2**0.5, parameterization="standard", bias=False)
    >> nn.repeat(3, nn.relu() >> nn.dense(16, 2**0.5, parameterization="standard", bias=False))
    >> nn.softplus()
    >> nn.dense(2, 2**0.5, parameterization="standard", bias=False),
}


@pytest.mark.parametrize("name", EXPECTED)
def test_graphs_are_those_that_a_person_would_write(name: str) -> None:
    """Protects what is recognised: names of nonlinearities, scales of an initialiser, repeated layers one by one."""
    scales = {"b1": 0.1} if name == "mlp" else {}
    assert imported(name, scales=scales).graph == EXPECTED[name].graph()


def draw_wide(key: Any) -> Any:
    own = drawing(w1=(5, 256), w2=(256, 2))(key)
    return own | {"scale": jnp.ones(256), "bshift": jnp.zeros(256)}


WIDE: dict[str, tuple[Any, Draw, Any]] = {
    "gained": (gained, draw_wide, ROWS),
    "patches": (patches, drawing(w1=(12, 256), b1=(256,), w2=(256, 256), w3=(256, 2)), IMAGES[:2]),
}


@pytest.mark.parametrize("name", WIDE)
def test_kernels_are_those_of_wide_copies(name: str) -> None:
    """Protects kernels of imported functions: means of empirical kernels over wide networks with the same names."""
    wide = WIDE[name]
    function, draw, x = wide
    found = ntc.from_jax(function, draw, x)
    assert isinstance(found, Imported)
    kernels = found.kernels(x)
    empirical = ntc.empirical_kernel_fn(function)
    x = jnp.asarray(x, jnp.float32)

    def sample(key: Any) -> Any:
        return empirical(x, None, ("nngp", "ntk"), draw(key))

    samples = jax.lax.map(sample, jax.random.split(jax.random.key(3), 60))
    assert_unbiased(samples.nngp, kernels.nngp)
    assert_unbiased(samples.ntk, kernels.ntk)


def shared(p: Any, x: Any) -> Any:
    return jnp.tanh(jnp.tanh(x @ p["w1"]) @ p["w2"]) @ p["w2"]


def over_time(p: Any, x: Any) -> Any:
    def step(h: Any, t: Any) -> tuple[Any, None]:
        return jnp.tanh(h @ p["w2"] + t @ p["w1"]), None

    return lax.scan(step, jnp.zeros((len(x), 16)), x.swapaxes(0, 1))[0] @ p["w3"]


@jax.custom_jvp
def straight_through(x: Any) -> Any:
    return jnp.sign(x)


@straight_through.defjvp
def _passed_on(primals: Any, tangents: Any) -> Any:
    return jnp.sign(primals[0]), tangents[0]


def dense(p: Any, x: Any) -> Any:
    return x @ p["w1"]


def max_pooled(x: Any) -> Any:
    return lax.reduce_window(x, -jnp.inf, lax.max, (1, 2, 2, 1), (1, 2, 2, 1), "VALID")


def grouped(x: Any) -> Any:
    apart = x.reshape(*x.shape[:-1], 4, -1)
    return (apart - apart.mean(-1, keepdims=True)).reshape(x.shape)


SMALL = drawing(w1=(5, 16), w2=(16, 16), w3=(16, 2))
FILTERS = drawing(w1=(3, 3, 3, 8))
NO_LIMIT: dict[str, tuple[Any, Draw, Any, str]] = {
    "max pooling": (lambda p, x: max_pooled(convolution(x, p["w1"])), FILTERS, IMAGES, "max pooling"),
    "global maximum": (lambda p, x: convolution(x, p["w1"]).max((1, 2)), FILTERS, IMAGES, "max pooling"),
    "batch norm": (lambda p, x: normalized(dense(p, x), (0,)), SMALL, ROWS, "batch norm in training mode"),
    "instance norm": (lambda p, x: normalized(convolution(x, p["w1"]), (1, 2)), FILTERS, IMAGES, "as in instance norm"),
    "group norm": (lambda p, x: grouped(dense(p, x)), SMALL, ROWS, "statistic of groups of channels"),
    "softmax": (lambda p, x: jax.nn.softmax(dense(p, x)), SMALL, ROWS, "softmax outputs"),
    "log-softmax": (lambda p, x: jax.nn.log_softmax(dense(p, x)), SMALL, ROWS, "log-softmax outputs"),
    "shared weights": (shared, SMALL, ROWS, "w2 is used again"),
    "recurrent": (over_time, SMALL, np.zeros((2, 4, 5)), "shared across time"),
    "two nonlinearities": (
        lambda p, x: jax.nn.relu(jax.nn.relu(x @ p["w1"]) + x @ p["v1"]),
        drawing(w1=(5, 16), v1=(5, 16)),
        ROWS,
        "relu on values that are not Gaussian",
    ),
    "straight through": (lambda p, x: straight_through(dense(p, x)), SMALL, ROWS, "a derivative of its own"),
    "stopped": (lambda p, x: lax.stop_gradient(dense(p, x)), SMALL, ROWS, "a gradient that is stopped"),
    "lookup": (lambda p, x: p["w2"][dense(p, x).astype(int)], SMALL, ROWS, "chosen by an index"),
    "weight norm": (
        lambda p, x: x @ (p["w1"] / jnp.linalg.norm(p["w1"], axis=0)),
        SMALL,
        ROWS,
        "computed from parameters",
    ),
    "split": (lambda p, x: jnp.split(dense(p, x), 2, -1)[0], SMALL, ROWS, "a part of the channels"),
}


@pytest.mark.parametrize("name", NO_LIMIT)
def test_what_has_no_limit_is_said(name: str) -> None:
    """Protects from wrong numbers: one error, with the line, the reason and what would do; and nothing else."""
    function, draw, x, words = NO_LIMIT[name]
    with pytest.raises(NoLimitError) as raised:
        ntc.from_jax(function, draw(jax.random.key(0)), x)
    *others, place = raised.value.places
    assert len(others) == (name == "lookup")  # what is looked up is no number of a Gaussian either
    assert words in place
    assert "test_importing.py:" in place
    assert "; instead: " in place


def test_all_places_are_listed() -> None:
    """Protects a reader from mending one place after another: three in one error, each with its module."""

    def function(p: Any, x: Any) -> Any:
        with jax.named_scope("stem"):
            x = max_pooled(jax.nn.relu(normalized(convolution(x, p["w1"]), (0, 1, 2))))
        with jax.named_scope("head"):
            return jax.nn.softmax(x.reshape(len(x), -1) @ p["w3"] + p["b3"])

    draw = drawing(w1=(3, 3, 3, 8), w3=(128, 2), b3=(2,))
    with pytest.raises(NoLimitError, match="3 places") as raised:
        ntc.from_jax(function, draw(jax.random.key(0)), IMAGES)
    starts = [place.split(" at ")[0] for place in raised.value.places]
    assert starts == ["stem", "stem", "head"]


def test_what_has_no_limit_is_estimated() -> None:
    """Protects on_missing = monte_carlo: means over random networks of the function, with standard errors."""
    function, draw, x, _ = NO_LIMIT["two nonlinearities"]
    found = ntc.from_jax(function, draw, x, on_missing="monte_carlo")
    assert isinstance(found, Estimated)
    assert "not Gaussian" in found.reasons[0]
    estimate = found.kernels(jnp.asarray(x, jnp.float32), n_samples=20)
    assert estimate.mean.ntk.shape == (3, 3)
    assert np.all(estimate.standard_error.ntk > 0)
    with pytest.raises(InputError, match="function that draws"):
        ntc.from_jax(function, draw(jax.random.key(0)), x, on_missing="monte_carlo")


def test_wrong_arguments_are_said() -> None:
    """Protects callers: no tracebacks of JAX for what cannot be a function of parameters and examples."""
    draw = SMALL(jax.random.key(0))
    with pytest.raises(InputError, match="cannot trace"):
        ntc.from_jax(lambda p, x: x @ x, draw, ROWS)
    with pytest.raises(InputError, match="returns 2 arrays"):
        ntc.from_jax(lambda p, x: (x, x), draw, ROWS)
    with pytest.raises(InputError, match="one or more examples"):
        ntc.from_jax(dense, draw, ROWS[0])
    with pytest.raises(ParameterError, match="no axis of the channels"):
        ntc.from_jax(dense, draw, ROWS, channel_axis=0)
    with pytest.raises(ParameterError, match="there is no parameter w9"):
        ntc.from_jax(dense, draw, ROWS, scales={"w9": 1.0})
    with pytest.raises(ParameterError, match="on_missing"):
        ntc.from_jax(dense, draw, ROWS, on_missing="guess")  # type: ignore[arg-type]


def test_scales_are_measured_or_given() -> None:
    """Protects scales: of values without a name, as given, and in the ntk parameterization with the same kernel."""

    def draw(key: Any) -> Any:
        return {"w1": 0.37 * np.random.default_rng(int(jax.random.key_data(key)[1])).normal(size=(5, 4000))}

    (measured,) = ntc.from_jax(dense, draw, ROWS).table.rows  # type: ignore[union-attr]
    assert measured.scale is not None
    assert abs(measured.scale.value / (0.37 * 5**0.5) - 1) < 0.01
    assert "measured of 160000 values" in measured.scale.how
    given = ntc.from_jax(dense, draw, ROWS, scales={"w1": 1.5}, parameterization="ntk")
    assert isinstance(given, Imported)
    assert given.graph == (nn.input(5) >> nn.dense(4000, 1.5, bias=False)).graph()
    values = draw(jax.random.key(4))
    x = jnp.asarray(ROWS, jnp.float32)
    assert_close(given.apply(values, x), x @ values["w1"], "float32")
