"""Hyperparameters: the same numbers as constants give, arguments of one compiled program, differentiable, checked."""

from __future__ import annotations

from pathlib import Path
from typing import Any, get_args

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

import ntc
from ntc import nn
from ntc.backends.reference import interpret
from ntc.cli.main import app
from ntc.compiler import build, lower
from ntc.errors import ElaborationError, InputError, NtcError, ParameterError, ParseError, VerifyError
from ntc.frontend.elaborate import load_graph
from ntc.frontend.layers import Network
from ntc.ir.graph import Graph
from ntc.ir.hyper import Hyper
from ntc.ir.json import from_json, to_json
from ntc.ir.op import TensorOp
from ntc.ir.parser import parse_graph
from ntc.ir.printer import show
from ntc.ir.types import Between
from ntc.ir.verify import verify
from tests.assertions import assert_close
from tests.strategies import LAYERS, trials

SIZES = {"features": 4, "channels": 4, "kernel": 3, "groups": 2, "multiplier": 2}


def two_layers(op: type[TensorOp], first: Any, second: Any, bias: Any, parameterization: str = "ntk") -> Network:
    """Two layers of a kind with a nonlinearity between them where it may stand there."""
    make = getattr(nn, op.name)
    sizes = {name: SIZES[name] for name in SIZES if name in op.__dataclass_fields__}  # type: ignore[attr-defined]
    given = {**sizes, "parameterization": parameterization}
    below = nn.input(4, 4) >> nn.dense(4, first, bias) >> nn.relu() >> make(**given, w_std=second, b_std=bias)
    return below >> nn.dense(2, first) >> nn.global_avg_pool()


def layers_of(first: Any, second: Any, bias: Any) -> Network:
    """A small network of dense layers and a convolution, with a pooling."""
    conv = nn.conv(4, 3, w_std=second, b_std=bias)
    return nn.input(6, 2) >> conv >> nn.relu() >> nn.avg_pool(2) >> nn.flatten() >> nn.dense(2, first)


def hypers() -> Network:
    """`layers_of` with hyperparameters called w_std, second and b_std."""
    return layers_of(nn.hyper(1.3), nn.hyper(0.9, "second"), nn.hyper(0.2))


VALUES = st.fixed_dictionaries({name: st.floats(0, 2) for name in ("w_std", "second", "b_std")})


@pytest.mark.parametrize("op", LAYERS, ids=lambda op: op.name)
@trials(3)
@given(VALUES, st.sampled_from(get_args(Between)), st.sampled_from(["ntk", "standard"]))
def test_the_reference_gives_what_constants_give(op: Any, values: Any, between: Any, kind: str) -> None:
    """Protects the rules of every layer and the passes, which must not take a default for a constant: any values set
    when the optimised graph runs give the kernels of the network that has them written in it, zero included."""
    network = two_layers(op, nn.hyper(1.0), nn.hyper(0.0, "second"), nn.hyper(0.0), kind)
    constant = two_layers(op, values["w_std"], values["second"], values["b_std"], kind)
    x = np.random.default_rng(0).normal(size=(2, 3, 4, 4))
    arrays = x if between == "cross" else x[:1]
    found = interpret(lower(network.graph(), between, dtype="float64"), *arrays, hyper=values)
    expected = interpret(lower(constant.graph(), between, dtype="float64"), *arrays)
    for label in expected:
        assert_close(found[label], expected[label], "exact", scale=1e-3)


@pytest.mark.parametrize("below", [0.0, 0.5])
def test_no_pass_takes_a_hyperparameter_for_a_constant(below: float) -> None:
    """Protects folding, above values that are one number for every input: zero, or a bias alone."""

    def network(scale: Any, bias: Any) -> Graph:
        constant = nn.input(3) >> nn.dense(4, 0.0, below) >> nn.relu() >> nn.dense(4, scale, bias)
        return (constant >> nn.relu() >> nn.dense(1)).graph()

    x = np.ones((2, 3))
    tuned = lower(network(nn.hyper(1.0), nn.hyper(0.0)), "self", dtype="float64")
    found = interpret(tuned, x, hyper={"w_std": 1.5, "b_std": 0.7})
    expected = interpret(lower(network(1.5, 0.7), "self", dtype="float64"), x)
    for label in expected:
        assert_close(found[label], expected[label], "exact")


def test_every_layer_with_weights_takes_them() -> None:
    """Protects the claim of the documentation, and the test above, which draws layers: none is left out."""
    for op in LAYERS:
        graph = two_layers(op, nn.hyper(1.0), nn.hyper(1.0, "second"), nn.hyper(0.0)).graph()
        assert set(graph.hypers) == {"w_std", "second", "b_std"}


@pytest.fixture(scope="module")
def program() -> Any:
    """`hypers` compiled."""
    return build(hypers(), dtype="float64")


@trials(4)
@given(VALUES)
def test_a_program_gives_what_constants_give(program: Any, values: Any) -> None:
    """Protects compiled programs against the reference, for other values than the defaults, in every kind of call."""
    x1, x2 = np.random.default_rng(1).normal(size=(2, 3, 6, 2))
    constant = layers_of(values["w_std"], values["second"], values["b_std"]).graph()
    for arrays, between in (((x1, x2), "cross"), ((x1,), "self")):
        expected = interpret(lower(constant, between, dtype="float64"), *arrays)  # type: ignore[arg-type]
        for options in ({}, {"memory": 1}):
            found = program(*arrays, hyper=values, **options)
            assert_close(found.nngp, expected["nngp"], "float64", scale=1e-3)
            assert_close(found.ntk, expected["ntk"], "float64", scale=1e-3)
    diagonal = program.diagonal(x1, hyper=values)
    assert_close(diagonal.ntk, np.diagonal(expected["ntk"]), "float64", scale=1e-3)


def test_another_value_does_not_compile_again() -> None:
    """Protects tuning loops: values are arguments, and defaults are among them."""
    fresh = build(hypers())
    x = np.ones((2, 6, 2), np.float32)
    default = np.asarray(fresh(x).ntk)
    assert np.array_equal(default, fresh(x, hyper=fresh.hyper).ntk)
    assert not np.allclose(default, fresh(x, hyper={"second": 1.1}).ntk)
    assert len(fresh._computations.executables) == 1


def test_other_defaults_do_not_compile_again() -> None:
    """Protects what is built on programs (inference, artifacts): they use the values that were found."""
    program, x = build(hypers()), np.ones((2, 6, 2), np.float32)
    tuned = program.with_hyper({"second": 1.1})
    assert tuned.hyper == {**program.hyper, "second": 1.1}
    assert np.array_equal(tuned(x).ntk, program(x, hyper={"second": 1.1}).ntk)
    assert not np.allclose(tuned(x).ntk, program(x).ntk)
    assert len(program._computations.executables) == 1
    assert verify(tuned.graphs["cross"]).hypers == tuned.network.hypers
    with pytest.raises(InputError, match="inside a JAX transformation"):
        jax.jit(lambda s: program.with_hyper({"second": s})(x).ntk)(1.0)


def test_gradient_of_a_marginal_likelihood() -> None:
    """Protects tuning: the slope of -log p(y) by every hyperparameter is the central difference, whose error at step
    1e-5 is h^2 = 1e-10 times a third derivative plus eps / h = 2e-11."""
    program = build(hypers(), dtype="float64")
    generator = np.random.default_rng(2)
    x, y = generator.normal(size=(6, 6, 2)), generator.normal(size=6)

    def loss(values: dict[str, Any]) -> Any:
        k = program(x, hyper=values).nngp + 0.1 * jnp.eye(6)
        return (y @ jnp.linalg.solve(k, y) + jnp.linalg.slogdet(k)[1]) / 2

    with jax.enable_x64(True):
        slopes = jax.jit(jax.grad(loss))({name: jnp.asarray(value) for name, value in program.hyper.items()})
        for name, value in program.hyper.items():
            up, down = (loss({**program.hyper, name: value + step}) for step in (1e-5, -1e-5))
            assert abs(slopes[name] - (up - down) / 2e-5) <= 1e-7 * (1 + abs(slopes[name]))


@pytest.mark.parametrize("kind", ["ntk", "standard"])
def test_finite_networks_take_the_same_values(kind: str) -> None:
    """Protects init and apply: with the same key, the network with the values written in it."""
    (op,) = (x for x in LAYERS if x.name == "conv")
    values = {"w_std": 1.7, "second": 0.6, "b_std": 0.4}
    tuned = build(two_layers(op, nn.hyper(1.0), nn.hyper(1.0, "second"), nn.hyper(0.0), kind))
    constant = build(two_layers(op, 1.7, 0.6, 0.4, kind))
    key, x = jax.random.key(0), np.ones((2, 4, 4), np.float32)
    drawn, expected = tuned.init(key, hyper=values), constant.init(key)
    for one, other in zip(jax.tree.leaves(drawn), jax.tree.leaves(expected), strict=True):
        assert_close(one, other, "float32")
    found = tuned.apply(drawn, x, hyper=values)
    assert_close(found, constant.apply(constant.init(key), x), "float32")
    slope = jax.grad(lambda s: tuned.apply(tuned.init(key, hyper=values | s), x, hyper=values | s).sum())
    assert all(np.abs(np.asarray(value)) > 0 for value in slope({"w_std": 1.7, "second": 0.6, "b_std": 0.4}).values())


def test_text_and_documents_round_trip() -> None:
    """Protects printing, JSON and artifacts: names and values survive in both graphs."""
    graph = hypers().graph()
    for either in (graph, lower(graph), lower(graph, optimize=False)):
        assert either.hypers == graph.hypers
        assert parse_graph(show(either)) == either
        assert from_json(to_json(either)) == either
        assert verify(either) is either


@pytest.mark.parametrize("trust", [False, True])
def test_a_stored_program_takes_values(tmp_path: Path, trust: bool) -> None:
    """Protects artifacts: what was exported has hyperparameters among its arguments."""
    program = build(hypers())
    ntc.save(program, tmp_path / "a.ntc")
    loaded = ntc.load(tmp_path / "a.ntc", trust=trust)
    x = np.random.default_rng(0).normal(size=(2, 6, 2))
    assert loaded.hyper == program.hyper
    for values in (None, {"w_std": 0.7, "b_std": 0.0}):
        assert_close(loaded(x, hyper=values).ntk, program(x, hyper=values).ntk, "float32")


MODEL = """
let depth = hyper(0.9)
model m(w_std = hyper(1.5), width = 4) =
  input(3) |> dense(width, w_std, b_std = depth) |> relu |> dense(width, w_std = w_std, b_std = hyper(0.1, "last"))
  |> relu |> dense(2, w_std = depth, b_std = hyper(0.3))
"""


def loaded(tmp_path: Path, text: str, **parameters: str) -> Graph:
    """The network of a model file."""
    path = tmp_path / "m.nt"
    path.write_text(text)
    return load_graph(path, None, parameters)


def test_names_come_from_definitions(tmp_path: Path) -> None:
    """Protects the language: a hyperparameter is called as written, as its `let` or parameter, or as where it stands;
    two uses of one definition are one."""
    found = {name: hyper.value for name, hyper in loaded(tmp_path, MODEL).hypers.items()}
    assert found == {"w_std": 1.5, "depth": 0.9, "last": 0.1, "b_std": 0.3}
    assert loaded(tmp_path, MODEL, w_std="hyper(2)").hypers["w_std"].value == 2.0
    assert "w_std" not in loaded(tmp_path, MODEL, w_std="2").hypers


BAD_MODELS = {
    "dense(2, w_std = hyper(-1))": "its value should be a number from 0",
    'dense(2, w_std = hyper(1, "a b"))': "is not a name",
    "dense(2, w_std = hyper(1, 2))": "one number, and at most one name",
    "dense(hyper(2))": "should be a valid integer",
    "dense(2, w_std = 2 * hyper(1))": "needs a number, got a hyperparameter",
    "dense(2, parameterization = standard, width_ratio = hyper(1))": "width_ratio = hyper",
    "dense(2, w_std = hyper(1)) |> relu |> dense(2, w_std = hyper(2))": "`w_std` is 1.0 in one place and 2.0 here",
    "index((hyper(1),))": "position = .hyper.1.0, position.,.; it should be .* integer",
    "dense(if hyper(1) == 1 then 2 else 3)": "compares numbers",
}


@pytest.mark.parametrize("text", BAD_MODELS)
def test_bad_hyperparameters_in_a_model_are_refused(tmp_path: Path, text: str) -> None:
    """Protects users of the language: refused with a reason, at a place."""
    with pytest.raises((ElaborationError, ParameterError), match=BAD_MODELS[text]) as caught:
        loaded(tmp_path, f"model m = input(3) |> {text}")
    assert caught.value.location is not None


BAD_VALUES: dict[str, tuple[Any, str]] = {
    "negative": ({"w_std": -1.0}, "from 0"),
    "infinite": ({"w_std": np.inf}, "from 0"),
    "not a number": ({"w_std": np.nan}, "from 0"),
    "text": ({"w_std": "2"}, "should be a number"),
    "several": ({"w_std": [1.0, 2.0]}, "should be one number"),
    "unknown": ({"w_sdt": 1.0}, "no hyperparameter `w_sdt`"),
}


@pytest.mark.parametrize("bad", BAD_VALUES)
def test_bad_values_are_refused(program: Any, bad: str) -> None:
    """Protects callers of programs, in every call that takes values, and inside jit."""
    values, message = BAD_VALUES[bad]
    x = np.ones((2, 6, 2))
    for call in (
        lambda: program(x, hyper=values),
        lambda: program.diagonal(x, hyper=values),
        lambda: program.init(jax.random.key(0), hyper=values),
        lambda: jax.jit(lambda x: program(x, hyper=values).ntk)(x),
    ):
        with pytest.raises(InputError, match=message):
            call()


def test_bad_graphs_are_refused() -> None:
    """Protects readers of graphs: one name of two values, and members that are not those of a hyperparameter."""
    text = show(hypers().graph())
    assert "hyper(1.3, w_std)" in text
    with pytest.raises(VerifyError, match="in one place and"):
        verify(parse_graph(text.replace("hyper(0.2, b_std)", "hyper(0.2, w_std)")))
    with pytest.raises(NtcError, match="from 0"):
        parse_graph(text.replace("hyper(1.3", "hyper(-1.3"))
    document = to_json(hypers().graph())
    with pytest.raises(ParseError, match="a hyperparameter has the members"):
        from_json(document.replace('{"hyper": "w_std", "value": 1.3}', '{"hyper": 1, "value": 1.3}'))
    with pytest.raises(NtcError, match="from 0"):
        from_json(document.replace('"value": 1.3', '"value": -1.3'))
    with pytest.raises(ParameterError, match="should be a number from"):
        Hyper(float("nan"))


def test_the_command_line_takes_values(tmp_path: Path) -> None:
    """Protects `ntc kernel --hyper`, and its errors."""
    (tmp_path / "m.nt").write_text(MODEL)
    np.save(tmp_path / "x.npy", np.ones((2, 3)))
    arguments = ["kernel", str(tmp_path / "m.nt"), "--x1", str(tmp_path / "x.npy"), "-o", str(tmp_path / "k.npz")]
    found = CliRunner().invoke(app, [*arguments, "--hyper", "w_std=0.5", "--hyper", "last=0"])
    assert found.exit_code == 0, found.output
    expected = build(loaded(tmp_path, MODEL))(np.ones((2, 3)), hyper={"w_std": 0.5, "last": 0.0})
    assert_close(np.load(tmp_path / "k.npz")["ntk"], expected.ntk, "rounding")
    for bad in ("w_std", "w_std=x", "w_std=-1", "w_sdt=1"):
        assert CliRunner().invoke(app, [*arguments, "--hyper", bad]).exit_code != 0
