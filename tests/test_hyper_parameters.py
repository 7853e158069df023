"""Every real parameter of every layer as a hyperparameter: values, derivatives, finite networks, texts."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, get_args, get_type_hints

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ntc import nn, stax
from ntc.backends.reference import interpret
from ntc.compiler import build, lower
from ntc.errors import InputError, ParameterError
from ntc.frontend.elaborate import load_graph
from ntc.frontend.layers import Network
from ntc.ir.hyper import Hyper
from ntc.ir.json import from_json, to_json
from ntc.ir.ops import TENSOR_OPS
from ntc.ir.parser import parse_graph
from ntc.ir.printer import show
from tests.assertions import assert_close

WEIGHTS = {"w_std": 1.3, "b_std": 0.4, "learning_rate": 0.6}
ATTENTION = {"w_key_std": 0.8, "w_value_std": 1.2, "w_query_std": 0.9, "w_out_std": 1.1, "b_std": 0.3}
EMBEDDED = {**ATTENTION, "embedding_std": 0.7, "decay_rate": 0.4}


@dataclass(frozen=True)
class Case:
    """A layer between two others.

    Attributes:
      op: its name.
      tuned: values of its real parameters.
      given: its other parameters.
      before: layers directly below.
      behind: layers directly above.
      pixels: of the images; one for those whose reference, and derivatives in reverse, are slow.
    """

    op: str
    tuned: dict[str, float]
    given: dict[str, Any] = field(default_factory=dict)
    before: tuple[Any, ...] = ()
    behind: tuple[Any, ...] = ()
    pixels: int = 3

    @property
    def x(self) -> Any:
        """Two batches of images."""
        return X[:, :, : self.pixels]

    @property
    def derivatives(self) -> Any:
        """A transformation of JAX."""
        return jax.jacrev if self.pixels > 1 else jax.jacfwd

    def network(self, values: dict[str, Any]) -> Network:
        """Images; the layer; and what reads it."""
        own = getattr(nn, self.op)(**{**self.given, **values})
        below = nn.serial(nn.conv(3, 1, w_std=1.1, b_std=0.2), *self.before)
        return (
            nn.input(self.pixels, 2)
            >> below
            >> own
            >> nn.serial(*self.behind)
            >> nn.conv(4, 1, b_std=0.1)
            >> nn.relu()
            >> nn.flatten()
            >> nn.dense(2)
        )

    @property
    def hypers(self) -> dict[str, Any]:
        """Hyperparameters whose defaults differ from the values."""
        return {name: nn.hyper(0.5 * value) for name, value in self.tuned.items()}


CASES = [
    *(
        Case(op, WEIGHTS, {**sizes, "parameterization": kind}, (nn.relu(),))
        for kind in ("ntk", "standard")
        for op, sizes in {
            "dense": {"features": 4},
            "conv": {"channels": 4, "kernel": 3},
            "conv_transpose": {"channels": 4, "kernel": 3},
            "conv_local": {"channels": 4, "kernel": 3},
            "grouped_conv": {"channels": 3, "kernel": 3, "groups": 3},
            "depthwise_conv": {"multiplier": 2, "kernel": 3},
        }.items()
    ),
    Case("leaky_relu", {"alpha": 0.3}),
    Case("ab_relu", {"a": -0.4, "b": 0.8}),
    Case("erf", {"a": 1.2, "b": 0.7, "c": -0.3}),
    Case("sin", {"a": 1.2, "b": 0.7, "c": -0.3}),
    Case("cos", {"a": 1.2, "b": 0.7, "c": -0.3}),
    Case("rbf", {"gamma": 0.6}),
    Case("exp", {"a": 0.8, "b": -0.5}),
    Case("exp_normalized", {"gamma": 0.7, "shift": -0.6}),
    Case("gaussian", {"a": 0.8, "b": -0.6}),
    Case("gaussian", {"a": 0.8, "b": 0.03}),
    Case("elu", {"alpha": 0.7}, pixels=1),
    Case("celu", {"alpha": 0.7}, pixels=1),
    Case("scale", {"factor": -0.7}),
    Case("dropout", {"keep": 0.6}, {}, (nn.relu(),)),
    *(
        Case("dense", WEIGHTS, {"features": 2, "axis": 0, "parameterization": kind}, behind=(nn.layer_norm(eps=0.1),))
        for kind in ("ntk", "standard")
    ),
    Case("layer_scale", {"init": -0.6, "learning_rate": 0.7}),
    *(
        Case("bias", {"b_std": 0.6, "learning_rate": 0.7}, {"per_position": own, "parameterization": kind})
        for own in (False, True)
        for kind in ("ntk", "standard")
    ),
    Case("class_token", {"std": 0.6, "learning_rate": 0.7}),
    Case("class_token", {"std": 0.6, "learning_rate": 0.7}, {"parameterization": "standard"}),
    Case("layer_norm", {"eps": 0.2}),
    Case("layer_norm", {"eps": 0.2}, {"spatial_axes": (0,)}),
    *(
        Case(
            "self_attention",
            ATTENTION if embedding is None else EMBEDDED,
            {
                "channels": 4,
                "key_channels": 3,
                "value_channels": 3,
                "heads": 2,
                "linear_scaling": linear,
                "mechanism": "softmax" if linear else "linear",
                "embedding": embedding,
                "embed_values": embedding is not None,
                "decay": None if embedding is None else decay,
            },
        )
        for linear, embedding, decay in (
            (True, None, None),
            (True, "concatenated", "exponential"),
            (False, "added", "inverse"),
        )
    ),
]

CONSTANTS = {"width_ratio", "value", "decay_values", "values", "before"}
"""Real parameters that are no hyperparameters: ratios of numbers of channels, what marks missing entries, matrices."""

X = np.random.default_rng(0).normal(size=(2, 3, 3, 2))

cases = pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.op}-{CASES.index(case)}")


def kernels(case: Case, values: dict[str, Any], between: str, hyper: dict[str, float] | None = None) -> dict[str, Any]:
    """Of the network with these values, by the reference."""
    arrays = case.x if between == "cross" else case.x[:1]
    graph = lower(case.network(values).graph(), between, dtype="float64")  # type: ignore[arg-type]
    return interpret(graph, *arrays, hyper=hyper)


def tunable(op: Any) -> set[str]:
    """Parameters that take a hyperparameter."""
    hints = get_type_hints(op, include_extras=True)
    return {one.name for one in fields(op) if "Hyper" in str(hints[one.name])}


def test_every_real_parameter_is_here() -> None:
    """Protects the claim that any real parameter may be tuned, and the tests below from layers to come."""
    known = {(case.op, name) for case in CASES for name in case.tuned} | {("polynomial", "coefficients")}
    for op in TENSOR_OPS.values():
        names = {(op.name, name) for name in tunable(op)}
        assert names <= known
        known -= names
        real = {one.name for one in fields(op) if "float" in str(get_args(one.type) or one.type)}  # type: ignore[arg-type]
        assert real - tunable(op) <= CONSTANTS
    assert not known


@cases
def test_values_and_derivatives(case: Case) -> None:
    """Protects lowering, passes and programs: values of hyperparameters give what constants give, zero derivatives are
    not made up, and no branch of a rule is decided by a default."""
    program = build(case.network(case.hypers), dtype="float64")

    for between, arrays in (("cross", tuple(case.x)), ("self", (case.x[0],))):
        expected = kernels(case, case.tuned, between)
        again = kernels(case, case.hypers, between, case.tuned)
        found = program(*arrays, hyper=case.tuned)
        for kernel in ("nngp", "ntk"):
            assert_close(getattr(found, kernel), expected[kernel], "float64")
            assert_close(again[kernel], expected[kernel], "exact", scale=1e-3)

        def totals(values: dict[str, Any], arrays: Any = arrays) -> Any:
            found = program(*arrays, hyper=values)
            return jnp.stack([found.nngp.sum(), found.ntk.sum()])

        with jax.enable_x64(True):
            slopes = case.derivatives(totals)({name: jnp.asarray(value) for name, value in case.tuned.items()})
        for name, value in case.tuned.items():
            step = 1e-4 * max(1.0, abs(value))
            above, below = (kernels(case, {**case.tuned, name: value + sign * step}, between) for sign in (1, -1))
            for slope, kernel in zip(slopes[name], ("nngp", "ntk"), strict=True):
                difference = (above[kernel].sum() - below[kernel].sum()) / (2 * step)
                assert abs(float(slope) - difference) <= 1e-5 * max(1.0, abs(difference)), (kernel, name)


@cases
def test_single_precision(case: Case) -> None:
    """Protects the forms that single precision has of its own."""
    program = build(case.network(case.hypers))
    expected = kernels(case, case.tuned, "cross")
    found = program(*case.x.astype(np.float32), hyper=case.tuned)
    for kernel in ("nngp", "ntk"):
        assert_close(getattr(found, kernel), expected[kernel], "float32")


@cases
def test_finite_networks_take_the_same_values(case: Case) -> None:
    """Protects Monte Carlo estimates and empirical kernels of tuned networks."""
    key = jax.random.key(0)
    tuned = build(case.network(case.hypers), dtype="float64")
    constant = build(case.network(case.tuned), dtype="float64")
    drawn = tuned.init(key, hyper=case.tuned)
    found = tuned.apply(drawn, case.x[0], key, hyper=case.tuned)
    assert_close(found, constant.apply(constant.init(key), case.x[0], key), "float64", scale=1e-2)
    if case.op != "dropout":  # a draw has no derivative by its probability
        with jax.enable_x64(True):
            slopes = jax.grad(lambda values: tuned.apply(drawn, case.x[0], key, hyper=values).sum())(
                {name: jnp.asarray(value) for name, value in case.tuned.items()}
            )
        assert all(np.isfinite(slope) for slope in slopes.values())


@cases
def test_text_and_documents_keep_them(case: Case) -> None:
    """Protects printed graphs and artifacts."""
    graph = case.network(case.hypers).graph()
    assert set(graph.hypers) == set(case.tuned)
    for lowered in (graph, lower(graph, "cross", dtype="float64")):
        assert parse_graph(show(lowered)) == lowered
        assert from_json(to_json(lowered)) == lowered


@cases
def test_the_language_takes_them(case: Case, tmp_path: Path) -> None:
    """Protects models in files: the same network as the builder's."""
    given = {**case.given, **{name: f"hyper({0.5 * value})" for name, value in case.tuned.items()}}
    words = ", ".join(f"{name} = {'none' if value is None else str(value).lower()}" for name, value in given.items())
    before = "|> relu" if case.before else ""
    behind = "|> layer_norm(eps = 0.1)" if case.behind else ""
    path = tmp_path / "m.nt"
    path.write_text(
        f"model m = input({case.pixels}, 2) |> conv(3, 1, w_std = 1.1, b_std = 0.2) {before} |> {case.op}({words})"
        f" {behind} |> conv(4, 1, b_std = 0.1) |> relu |> flatten |> dense(2)"
    )
    assert load_graph(path).nodes == case.network(case.hypers).graph().nodes


def test_coefficients_of_a_polynomial(tmp_path: Path) -> None:
    """Protects hyperparameters within a tuple, which need names of their own."""
    path = tmp_path / "m.nt"
    path.write_text(
        'model m = input(2) |> dense(3) |> polynomial((hyper(0.1, "first"), 0.5, hyper(0.2, "third"))) |> dense(1)'
    )
    graph = load_graph(path)
    assert set(graph.hypers) == {"first", "third"}
    assert parse_graph(show(graph)) == graph
    assert from_json(to_json(graph)) == graph
    values = {"first": -0.7, "third": 0.3}
    constant = nn.input(2) >> nn.dense(3) >> nn.polynomial((-0.7, 0.5, 0.3)) >> nn.dense(1)
    expected = interpret(lower(constant.graph(), "self", dtype="float64"), X[0, 0])
    assert_close(build(graph, dtype="float64")(X[0, 0], hyper=values).ntk, expected["ntk"], "float64")
    with pytest.raises(ParameterError, match="give it a name of its own"):
        (nn.input(2) >> nn.dense(3) >> nn.polynomial((nn.hyper(1.0), nn.hyper(2.0)))).graph()


@pytest.mark.parametrize(
    ("make", "refused", "accepted"),
    [
        (lambda: nn.rbf(nn.hyper(1.0)), -1.0, 0.0),
        (lambda: nn.layer_norm(eps=nn.hyper(1.0)), -0.5, 0.0),
        (lambda: nn.celu(nn.hyper(1.0)), 0.0, 0.5),
        (lambda: nn.erf(c=nn.hyper(0.0)), float("nan"), -3.0),
    ],
    ids=["rbf", "layer_norm", "celu", "erf"],
)
def test_values_that_a_parameter_cannot_have_are_refused(make: Any, refused: float, accepted: float) -> None:
    """Protects from kernels that are none: a hyperparameter has the domain of the parameter that it stands for."""
    program = build(nn.input(2) >> nn.dense(3) >> make() >> nn.dense(1))
    (name,) = program.hyper
    program(X[0, 0], hyper={name: accepted})
    for call in (lambda: program(X[0, 0], hyper={name: refused}), lambda: program.with_hyper({name: refused})):
        with pytest.raises(InputError, match=f"the hyperparameter `{name}`: its value should be a number"):
            call()


def test_the_domain_of_one_name_is_that_of_all() -> None:
    """Protects hyperparameters that stand in several places."""
    shared = nn.hyper(0.5, "shared")
    program = build(nn.input(2) >> nn.dense(3) >> nn.erf(c=shared) >> nn.dense(1, w_std=shared))
    with pytest.raises(InputError, match="from 0 to"):
        program(X[0, 0], hyper={"shared": -1.0})
    with pytest.raises(ParameterError, match="from 0 to"):
        nn.rbf(nn.hyper(-0.1))


STAX: dict[str, tuple[Any, dict[str, float]]] = {
    "LeakyRelu": (stax.LeakyRelu, {"alpha": 0.3}),
    "ABRelu": (stax.ABRelu, {"a": -0.4, "b": 0.8}),
    "Erf": (stax.Erf, {"a": 1.2, "b": 0.7, "c": -0.3}),
    "Sin": (stax.Sin, {"a": 1.2, "b": 0.7, "c": -0.3}),
    "Cos": (stax.Cos, {"a": 1.2, "b": 0.7, "c": -0.3}),
    "Rbf": (stax.Rbf, {"gamma": 0.6}),
    "Exp": (stax.Exp, {"a": 0.8, "b": -0.5}),
    "ExpNormalized": (stax.ExpNormalized, {"gamma": 0.7, "shift": -0.6}),
    "Gaussian": (stax.Gaussian, {"a": 0.8, "b": -0.6}),
    "Polynomial": (lambda a, b: stax.Polynomial((a, 1.0, b)), {"a": 0.3, "b": 0.2}),
    "LayerNorm": (stax.LayerNorm, {"eps": 0.2}),
    "LayerNorm over examples": (lambda eps: stax.LayerNorm((0, 2), eps), {"eps": 0.2}),
    "DotGeneral": (lambda factor: stax.DotGeneral(rhs=factor), {"factor": -0.7}),
    "Dropout": (lambda rate: stax.serial(stax.Relu(), stax.Dropout(rate)), {"rate": 0.6}),
    "Conv": (lambda **scales: stax.Conv(4, (2,), **scales), {"W_std": 1.2, "b_std": 0.3}),
    "GlobalSelfAttention": (
        lambda **scales: stax.GlobalSelfAttention(4, 3, 3, 2, pos_emb_type="SUM", **scales),
        {**{name.replace("w_", "W_"): value for name, value in ATTENTION.items()}, "W_pos_emb_std": 0.7},
    ),
}


@pytest.mark.parametrize("layer", STAX)
def test_traced_parameters_of_stax(layer: str) -> None:
    """Protects searches over parameters by JAX: a layer made of what is traced is differentiated by it."""
    make, values = STAX[layer]
    x1, x2 = X

    def totals(values: dict[str, Any], other: Any) -> Any:
        layers = stax.Dense(3, 1.1, 0.2), make(**values), stax.Flatten(), stax.Dense(1, b_std=0.1)
        return jnp.stack([kernel.sum() for kernel in stax.serial(*layers)[2](x1, other, ("nngp", "ntk"))])

    with jax.enable_x64(True):
        for other in (None, x2):
            slopes = jax.jacrev(totals)({name: jnp.asarray(x) for name, x in values.items()}, other)
            for name, value in values.items():
                above, below = (totals({**values, name: value + step}, other) for step in (1e-5, -1e-5))
                differences = (above - below) / 2e-5
                np.testing.assert_allclose(slopes[name], differences, rtol=1e-5, atol=1e-5, err_msg=name)


@pytest.mark.parametrize("kind", ["ntk", "standard"])
def test_negative_scales_of_stax(kind: str) -> None:
    """Protects networks from elsewhere: kernels depend on squares; what given parameters compute has the sign."""

    def network(sign: int) -> Any:
        return stax.Dense(3, W_std=sign * 1.5, b_std=sign * 0.4, parameterization=kind)

    (init, apply, kernel), (other_init, plain, other) = network(-1), network(1)
    x = X[0, 0]
    assert np.array_equal(kernel(x, None, "ntk"), other(x, None, "ntk"))
    params, positive = (each(jax.random.key(0), x.shape)[1] for each in (init, other_init))
    np.testing.assert_allclose(apply(params, x), -plain(positive, x), rtol=1e-6)


def test_scales_that_are_arrays_of_one() -> None:
    """Protects parameters that come out of optimisers; others are named in the error."""
    kernel = stax.Dense(3, W_std=np.array([1.5]), b_std=np.float32(0.1))[2]
    assert np.array_equal(
        kernel(X[0, 0], None, "nngp"), stax.Dense(3, 1.5, float(np.float32(0.1)))[2](X[0, 0], None, "nngp")
    )
    for bad in (np.ones(2), "1.5", None):
        with pytest.raises(ParameterError, match="w_std should be one number"):
            stax.Dense(3, W_std=bad)


def test_a_hyperparameter_is_one_wherever_it_stands() -> None:
    """Protects derivatives by what is shared by an activation and a layer below."""
    shared = nn.hyper(0.5, "shared")
    program = build(nn.input(2) >> nn.dense(3, w_std=shared) >> nn.rbf(shared) >> nn.dense(1), dtype="float64")

    def reference(value: float) -> Any:
        network = nn.input(2) >> nn.dense(3, w_std=value) >> nn.rbf(value) >> nn.dense(1)
        return interpret(lower(network.graph(), "self", dtype="float64"), X[0, 0])["nngp"].sum()

    with jax.enable_x64(True):
        slope = jax.grad(lambda value: program(X[0, 0], hyper={"shared": value}).nngp.sum())(jnp.asarray(0.8))
    assert abs(float(slope) - (reference(0.8 + 1e-5) - reference(0.8 - 1e-5)) / 2e-5) < 1e-8
    assert isinstance(shared, Hyper)


def test_traced_parameters_behind_a_given_kernel() -> None:
    """Protects networks that continue from a kernel: whether an integral may be infinite is asked of known numbers."""
    below = stax.Dense(3, 1.1, 0.2)[2](X[0, 0])

    def total(b: Any) -> Any:
        return stax.serial(stax.Gaussian(0.9, b), stax.Dense(1))[2](below).ntk.sum()

    with jax.enable_x64(True):
        slope = jax.grad(total)(jnp.asarray(-0.4))
        difference = (total(-0.4 + 1e-5) - total(-0.4 - 1e-5)) / 2e-5
    np.testing.assert_allclose(slope, difference, rtol=1e-5)
