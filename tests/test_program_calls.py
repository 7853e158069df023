"""What a program accepts, refuses and promises to its caller; how it behaves inside JAX transformations."""

from __future__ import annotations

from collections import Counter
from copy import deepcopy
from pathlib import Path
from typing import Any, get_args

import jax
import jax.numpy as jnp
import joblib
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ntc import nn
from ntc.backends.jax.emit.stages import emit
from ntc.backends.jax.program import Program
from ntc.compiler import build, lower
from ntc.errors import InputError, ParameterError, UnsupportedError
from ntc.ir.types import Between
from tests.assertions import assert_close
from tests.networks import NETWORKS, inputs, program
from tests.strategies import trials


@trials(5)
@given(st.integers(1, 200_000))
@pytest.mark.parametrize("name", ["mlp", "cnn", "image"])
def test_tile_sizes_do_not_matter(name: str, memory: int) -> None:
    """Protects the cutting and joining of tiles: any size gives the matrix of one tile."""
    x1, x2 = inputs(name, 5, 0), inputs(name, 3, 1)
    for arrays in ((x1, x2), (x1,)):
        whole, tiled = program(name)(*arrays), program(name)(*arrays, memory=memory)
        for label in ("nngp", "ntk"):
            assert_close(getattr(tiled, label), getattr(whole, label), "float64")


def test_tiled_matrix_is_symmetric_to_the_last_bit() -> None:
    """Protects k(x, x) when it is cut into tiles: mirrored tiles, not computed twice."""
    for matrix in program("image")(inputs("image", 5, 0), memory=1):
        array = np.asarray(matrix)
        assert np.array_equal(array, array.transpose(1, 0, 3, 2, 5, 4))


def test_every_tile_shape_is_compiled_once() -> None:
    """Protects compile time: the tiles of a large matrix share one program; so do calls of one shape."""
    graph = NETWORKS["mlp"].graph()
    traces: Counter[str] = Counter()

    def counted(between: Between) -> Any:
        function = emit(graphs[between])

        def traced(*arrays: jax.Array) -> Any:
            traces[between] += 1
            return function(*arrays)

        return jax.jit(traced)

    graphs = {between: lower(graph, between) for between in get_args(Between)}
    counting = Program(graph, graphs, functions={between: counted(between) for between in graphs})
    for seed in (0, 1):
        counting(inputs("mlp", 7, seed), inputs("mlp", 5, seed), memory=200)
    assert traces == {"cross": 1}
    counting(inputs("mlp", 7, 0), memory=1)
    assert traces["self"] == 1
    counting.diagonal(inputs("mlp", 7, 0))
    assert traces["diagonal"] == 1


@pytest.mark.parametrize("name", ["mlp", "cnn"])
def test_tiles_of_a_symmetric_matrix_are_one_computation(name: str) -> None:
    """Protects compile time of k(x, x), and its diagonal: tiles on it are told that rows and columns are the same."""
    graph, x = NETWORKS[name].graph(), inputs(name, 6, 0)
    compiled = build(graph, dtype="float64")
    tiled = compiled(x, memory=1)
    assert len(compiled._computations.executables) == 1
    for label, diagonal in zip(("nngp", "ntk"), compiled.diagonal(x), strict=True):
        assert_close(np.diagonal(getattr(tiled, label)), diagonal, "float64")


def test_progress_is_reported() -> None:
    """Protects progress bars: called before the first tile and after every one, up to the number of tiles."""
    calls: list[tuple[int, int]] = []
    program("mlp")(inputs("mlp", 4, 0), memory=1, progress=lambda done, total: calls.append((done, total)))
    assert calls == [(done, 10) for done in range(11)]


@pytest.mark.parametrize("kernel", ["nngp", "ntk"])
@pytest.mark.parametrize("name", ["mlp", "joined"])
def test_one_kernel_alone_is_the_same(name: str, kernel: Any) -> None:
    """Protects dead-code elimination: asking for one kernel gives that one, and no other."""
    x1, x2 = inputs(name, 3, 0), inputs(name, 2, 1)
    alone = build(NETWORKS[name], kernels=(kernel,), dtype="float64")
    assert alone.kernels == (kernel,)
    found = vars(alone(x1, x2))
    assert_close(found.pop(kernel), getattr(program(name)(x1, x2), kernel), "float64")
    assert list(found.values()) == [None, {}]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_what_is_not_a_number_stays_none(dtype: Any) -> None:
    """Protects from a silent wrong number: kernels of an example that is not a number are none, others are theirs."""
    network = nn.input(4, 4, 2) >> nn.conv(4, 3) >> nn.relu() >> nn.conv(4, 3) >> nn.relu() >> nn.flatten()
    x = np.random.default_rng(0).normal(size=(3, 4, 4, 2))
    missing = x.copy()
    missing[0] = np.nan
    compiled = build(network, dtype=dtype)
    for found, expected in zip(compiled(missing), compiled(x), strict=True):
        assert np.isnan(np.asarray(found)[0]).all()
        assert_close(np.asarray(found)[1:, 1:], np.asarray(expected)[1:, 1:], "exact")


def test_no_examples_give_an_empty_matrix() -> None:
    """Protects empty batches, which data pipelines produce."""
    x = inputs("image", 2, 0)
    shape = np.asarray(program("image")(x, x).nngp).shape[2:]
    assert np.asarray(program("image")(x[:0], x).ntk).shape == (0, 2, *shape)
    assert np.asarray(program("image")(x[:0]).nngp).shape == (0, 0, *shape)
    assert len(np.asarray(program("image").diagonal(x[:0]).nngp)) == 0


@pytest.mark.parametrize("dtype", ["bool", "int8", "uint16", "int64", "float16", "float32", "float64"])
def test_real_arrays_of_any_type_are_accepted(dtype: str) -> None:
    """Protects conversion: integers and flags count as numbers, results have the program's type."""
    x = np.array([[1, 0, 1], [0, 1, 1]], dtype)
    for precision in ("float32", "float64"):
        found = program("mlp", precision)(x).ntk
        assert found is not None
        assert found.dtype == precision
        assert_close(found, program("mlp", precision)(x.astype(np.float64)).ntk, "rounding")
    assert_close(program("mlp")(x.tolist()).ntk, program("mlp")(x).ntk, "rounding")


BAD_INPUTS: dict[str, tuple[Any, str]] = {
    "too few axes": (np.zeros(3), r"x1 should have shape \(n, 3\), got \(3,\)"),
    "wrong channels": (np.zeros((2, 4)), r"x1 should have shape \(n, 3\), got \(2, 4\)"),
    "too many axes": (np.zeros((2, 1, 3)), r"x1 should have shape \(n, 3\)"),
    "scalar": (1.0, r"x1 should have shape \(n, 3\), got \(\)"),
    "complex": (np.zeros((2, 3), complex), "real numbers, got dtype complex128"),
    "text": ([["a", "b", "c"]], "real numbers, got dtype"),
    "objects": (np.array([[None, 1, 2]], object), "real numbers, got dtype object"),
    "nothing": ([[None, 1, 2]], "real numbers, got dtype object"),
    "ragged": ([[1, 2, 3], [1, 2]], "x1 is not an array"),
    "dates": (np.zeros((2, 3), "datetime64[s]"), "real numbers, got dtype datetime64"),
}


@pytest.mark.parametrize("bad", BAD_INPUTS)
def test_bad_inputs_are_refused(bad: str) -> None:
    """Protects users: an array that does not fit is an InputError that says what would, in every call."""
    x, message = BAD_INPUTS[bad]
    good = inputs("mlp", 2, 0)
    with pytest.raises(InputError, match=message):
        program("mlp")(x)
    with pytest.raises(InputError, match=message):
        program("mlp")(x, good)
    with pytest.raises(InputError, match=message.replace("x1 ", "x2 ")):
        program("mlp")(good, x)
    with pytest.raises(InputError, match=message.replace("x1 ", "x ")):
        program("mlp").diagonal(x)


def test_a_wrong_shape_inside_jit_is_refused() -> None:
    """Protects traced calls, which do not pass through the checks of arrays."""
    with pytest.raises(InputError, match=r"x1 should have shape \(n, 3\)"):
        jax.jit(lambda x: program("mlp", "float32")(x).ntk)(jnp.zeros((2, 4)))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"target": "gpu"}, "target should be cpu, cuda or tpu, got gpu"),
        ({"dtype": "float16"}, "dtype should be float32 or float64, got float16"),
        ({"kernels": ("nngp", "nngp")}, "one or both of nngp and ntk"),
        ({"kernels": ()}, "nngp, ntk or both"),
        ({"kernels": ("ntks",)}, "nngp"),
    ],
)
def test_bad_options_are_refused(options: dict[str, Any], message: str) -> None:
    """Protects users: an unknown option is a ParameterError that says what is known."""
    with pytest.raises(ParameterError, match=message):
        build(NETWORKS["mlp"], **options)


def test_a_missing_device_is_named() -> None:
    """Protects programs for other platforms: built anywhere, they run only where the device is."""
    if any(device.platform == "tpu" for device in jax.devices()):
        pytest.skip("there is a TPU here")
    with pytest.raises(UnsupportedError, match="the program is for tpu"):
        build(NETWORKS["mlp"], target="tpu")(inputs("mlp", 2, 0))


def float64_is_on() -> bool:
    """The caller's setting."""
    return bool(jax.config.jax_enable_x64)  # type: ignore[attr-defined]


def test_the_callers_jax_configuration_is_left_alone() -> None:
    """Protects other code in the process: a float64 program does not switch on float64 outside."""
    before = float64_is_on()
    program("mlp")(inputs("mlp", 2, 0))
    assert float64_is_on() == before
    assert jnp.ones(1).dtype == (jnp.float64 if before else jnp.float32)
    with pytest.raises(InputError):
        program("mlp")(np.zeros(1))
    assert float64_is_on() == before


@pytest.mark.parametrize("name", ["smooth", "residual"])
def test_inside_jit_and_vmap(name: str) -> None:
    """Protects composition: the same numbers inside jit, and vmap is a loop over calls."""
    compiled = program(name, "float32")
    x = jnp.asarray(inputs(name, 4, 0), jnp.float32)
    y = jnp.asarray(inputs(name, 3, 1), jnp.float32)
    expected = compiled(x, y)
    for found in (jax.jit(compiled)(x, y), jax.vmap(lambda a: compiled(a[None], y))(x)):
        for label in ("nngp", "ntk"):
            assert_close(np.asarray(getattr(found, label)).reshape(4, 3), getattr(expected, label), "float32")
    own = jax.jit(lambda x: compiled(x).ntk)(x)
    assert_close(own, compiled(x).ntk, "float32")
    assert np.array_equal(own, own.T)


@pytest.mark.parametrize("kernel", ["nngp", "ntk"])
def test_gradient_is_the_finite_difference(kernel: str) -> None:
    """Protects derivatives by the inputs, float64, on a smooth network: central differences, step 1e-5, whose
    error is h^2 = 1e-10 times a third derivative plus eps / h = 2e-11."""
    x, y = inputs("smooth", 2, 0), inputs("smooth", 2, 1)
    direction = np.random.default_rng(2).normal(size=x.shape)

    def total(x: Any) -> Any:
        return getattr(program("smooth")(x, y), kernel).sum()

    with jax.enable_x64(True):
        slope = np.sum(np.asarray(jax.grad(total)(jnp.asarray(x))) * direction)
        difference = (total(x + 1e-5 * direction) - total(x - 1e-5 * direction)) / 2e-5
    assert abs(slope - float(difference)) <= 1e-8 * abs(float(difference))


@pytest.mark.parametrize(("name", "dtype"), [("mlp", "float32"), ("residual", "float32"), ("joined", "float64")])
def test_gradients_are_finite_at_special_inputs(name: str, dtype: str) -> None:
    """Protects optimisation: zero inputs, equal and opposite ones, and an image that is zero in places."""
    x = inputs(name, 5, 0)
    x[1], x[2], x[3] = 0.0, x[0], -x[0]
    x[4].reshape(-1, x.shape[-1])[0] = 0.0

    def total(x: jax.Array, y: jax.Array | None) -> jax.Array:
        values = program(name, dtype)(x, y)
        assert values.nngp is not None
        assert values.ntk is not None
        return values.nngp.sum() + values.ntk.sum()

    with jax.enable_x64(dtype == "float64"):
        array = jnp.asarray(x, dtype)
        for other in (None, array):
            gradient = jax.grad(lambda x, other=other: total(x, other))(array)
            assert np.isfinite(np.asarray(gradient)).all()
            assert np.abs(np.asarray(gradient)).max() > 0


def test_programs_are_stored_and_copied(tmp_path: Path) -> None:
    """Protects workers and searches that send programs about: after a call, with other values of hyperparameters."""
    network = (
        nn.input(4, 4, 2) >> nn.conv(3, 2, w_std=nn.hyper(1.2, "scale")) >> nn.relu() >> nn.flatten() >> nn.dense(1)
    )
    first = build(network, dtype="float64").with_hyper({"scale": 0.7})
    x = np.random.default_rng(0).standard_normal((3, 4, 4, 2))
    expected = first(x).ntk
    joblib.dump(first, tmp_path / "program")
    for other in (joblib.load(tmp_path / "program"), deepcopy(first)):
        assert np.array_equal(other(x).ntk, expected)
        assert other.hyper == {"scale": 0.7}
    assert deepcopy(first) is first
    assert first.with_self_test(False)._computations is first._computations


def test_repr_names_the_network() -> None:
    """Protects what a user sees at a prompt."""
    assert repr(program("mlp")) == "<Program @network nngp+ntk f64 on cpu>"


def test_float64_inside_float32_computations_is_refused() -> None:
    """Protects numbers from being truncated: inside `jit` a program in float64 needs the caller's x64."""
    program = build(nn.input(3) >> nn.dense(1), dtype="float64")
    x = np.ones((2, 3))
    with pytest.raises(UnsupportedError, match="float64 is part of a JAX transformation"):
        jax.jit(lambda x: program(x).ntk)(x)
    with jax.enable_x64(True):
        assert jax.jit(lambda x: program(x).ntk)(x).dtype == np.float64


def test_a_large_matrix_within_jit() -> None:
    """Protects from a crash of XLA:CPU (jaxlib 0.10.2), which takes the process along: k(x, x) of a thousand examples
    and more, symmetric to the last bit."""
    program = build(nn.input(2) >> nn.dense(1) >> nn.relu() >> nn.dense(1))
    x = np.random.default_rng(0).normal(size=(1100, 2)).astype(np.float32)
    found = jax.jit(lambda x: program(x).ntk)(x)
    assert np.array_equal(found, found.T)
    np.testing.assert_allclose(found[:3], program(x[:3], x).ntk, atol=1e-3)
