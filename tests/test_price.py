"""Predicted time and memory: counts of work, rates, budgets, and what the command line says of them."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import ntc
from ntc import nn
from ntc.backends.jax.integrals import FAMILIES, distance, family
from ntc.calibrate import fitted, samples
from ntc.calibrate import measured as measured_sample
from ntc.cli.main import run
from ntc.compiler import lower
from ntc.errors import InputError, ParameterError
from ntc.ir import ops
from ntc.ir.work import Work
from ntc.price import ACCELERATORS, known_rates, largest, price, read_rates, write_rates
from ntc.price.integrals import FROM_DISTANCES, INTEGRALS, TO_COVARIANCE
from ntc.price.rates import CORE
from ntc.price.store import rates_path
from ntc.price.work import tile_work
from tests.strategies import tensor_graphs

ROOT = Path(__file__).parents[1]
SLOW = {"div", "sqrt", "rsqrt"}
TRANSCENDENTAL = {"exp", "log", "erf", "erfc", "sin", "cos", "acos", "atan2", "expm1", "pow"}
MOVES = {"broadcast_in_dim", "convert_element_type", "reshape", "squeeze", "slice", "concatenate", "copy"}
EXAMPLES: dict[type[Any], Any] = {
    ops.PiecewiseLinear: ops.Relu(),
    ops.ErrorFunction: ops.Erf(),
    ops.Gelu: ops.Gelu(),
    ops.Sinusoid: ops.Sin(),
    ops.Rbf: ops.Rbf(),
    ops.Gabor: ops.Gabor(),
    ops.Gaussian: ops.Gaussian(),
    ops.Exp: ops.Exp(),
    ops.ExpNormalized: ops.ExpNormalized(),
    ops.Sign: ops.Sign(),
    ops.Analytic: ops.Tanh(),
    ops.Hinges: ops.Relu6(),
    ops.ExponentialLinear: ops.Elu(),
}


@pytest.fixture
def cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A cache directory that is empty."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr("ntc.price.store.user_cache_path", lambda name: tmp_path / name)
    return tmp_path


def cnn(depth: int = 3, side: int = 12) -> nn.Network:
    """Convolutions and relus, then a global average."""
    layer = nn.serial(nn.conv(4, 3), nn.relu())
    return nn.input(side, side, 3) >> nn.repeat(depth, layer) >> nn.global_avg_pool() >> nn.dense(1)


def counted(jaxpr: Any, entries: int, times: int = 1) -> np.ndarray[Any, Any]:
    """Additions, roots and quotients, transcendental functions of a jaxpr, per entry."""
    total = np.zeros(3)
    for equation in jaxpr.eqns:
        inner = [x for key, x in equation.params.items() if key in ("jaxpr", "call_jaxpr")]
        name = equation.primitive.name
        if inner:
            rounds = times * equation.params["length"] if name == "scan" else times
            total += sum(counted(getattr(x, "jaxpr", x), entries, rounds) for x in inner)
        elif name not in MOVES:
            size = max(int(np.prod(x.aval.shape)) for x in equation.outvars)
            total[2 if name in TRANSCENDENTAL else 1 if name in SLOW else 0] += times * size / entries
    return total


@pytest.mark.parametrize("cls", EXAMPLES, ids=lambda cls: cls.__name__)
def test_counts_of_integrals_are_those_of_the_program(cls: type[Any]) -> None:
    """Protects predictions from integrals that change: each row is within a half of what is traced."""
    phi = EXAMPLES[cls]
    for slope, counts in enumerate(INTEGRALS[cls]):
        shape = jax.eval_shape(family(phi).marginal_of(phi, bool(slope)), jnp.ones(8)).shape[:-1]
        arrays = [jax.ShapeDtypeStruct(x, np.float32) for x in ((64, 64), (*shape, 64, 1), (*shape, 1, 64))]
        function = family(phi).dual_dot if slope else family(phi).dual
        traced = jax.make_jaxpr(lambda *x, f=function: f(phi, *x, None))(*arrays)
        np.testing.assert_allclose(counted(traced.jaxpr, 64 * 64), counts, rtol=0.5, atol=6)


def test_counts_of_the_distance_form_are_those_of_the_program() -> None:
    """Protects predictions from integrals in the distance form that change, as above."""
    functions: list[Any] = [
        lambda *x: distance.dual(ops.Relu(), *x, True, "distance"),
        lambda *x: distance.dual_dot(ops.Relu(), *x, True),
        lambda *x: distance.covariance(*x, True),
    ]
    arrays = [jax.ShapeDtypeStruct(x, np.float32) for x in ((64, 64), (64, 1), (1, 64))]
    for function, counts in zip(functions, (*FROM_DISTANCES, TO_COVARIANCE), strict=True):
        np.testing.assert_allclose(counted(jax.make_jaxpr(function)(*arrays).jaxpr, 64 * 64), counts, rtol=0.5, atol=6)


def test_every_family_has_counts() -> None:
    """Protects the table: a new family of nonlinearities has a price."""
    assert set(INTEGRALS) == set(FAMILIES)


@settings(max_examples=8)
@given(tensor_graphs())
def test_work_grows_with_examples(network: ntc.ir.graph.Graph) -> None:
    """Protects counts: on any network none is negative, and four times the pairs are at most four times the entries,
    at least twice where pairs have any."""
    graph = lower(network)
    small, large = (sum(tile_work(graph, "cpu", n, n).values(), Work()) for n in (8, 16))
    for kind, amount in asdict(small).items():
        assert amount >= 0
        assert asdict(large)[kind] <= 4 * amount * (1 + 1e-9) or kind == "steps"
        assert asdict(large)[kind] >= 2 * amount * (1 - 1e-9) or kind in ("steps", "calls")


def test_layers_add_up_and_symmetry_halves() -> None:
    """Protects the total; and that k(x, x) of many tiles costs about half of k(x1, x2)."""
    graph = lower(cnn().graph())
    cross, own = (price(graph, CORE, 4000, n2, 2**30, 2) for n2 in (4000, None))
    assert sum(layer.seconds for layer in cross.layers) == pytest.approx(cross.seconds)
    assert {layer.layer for layer in cross.layers} >= {"conv1", "relu3"}
    assert 0.4 < own.seconds / cross.seconds < 0.6
    assert cross.memory > 2 * 2 * 4 * 4000**2


def test_devices_share_tiles() -> None:
    """Protects --devices: eight devices take about an eighth of the time of one, and not less."""
    graph = lower(cnn().graph())
    one, eight = (price(graph, CORE, 8000, None, 2**30, 2, devices).seconds for devices in (1, 8))
    assert 7.5 < one / eight <= 8 * (1 + 1e-9)


@given(st.integers(0, 10**8))
def test_largest(n: int) -> None:
    """Protects budgets: what is found fits, and is within a thousandth of the most that does."""
    found = largest(lambda x: x <= n)
    assert found <= n
    assert found >= n - max(1, n // 500)


def test_program_cost() -> None:
    """Protects the Python face, and that bad numbers are refused."""
    program = ntc.build(cnn())
    assert program.cost(100).rows == program.cost(100).columns == 100
    assert program.cost(100, 50).seconds < program.cost(100, 100).seconds
    with pytest.raises(InputError, match="1 example or more"):
        program.cost(0)


def test_stored_rates(cache: Path) -> None:
    """Protects what was measured: it is read back, used, and a damaged file is a message and not a number."""
    assert read_rates("cpu") is None
    assert known_rates("cpu") == CORE
    own = replace(CORE, additions=1e-12, measured=True)
    path = write_rates(own)
    assert read_rates("cpu") == known_rates("cpu") == own
    good = json.loads(path.read_text())
    damaged = [
        "",
        "[1]",
        "{",
        json.dumps(good | {"version": 0}),
        json.dumps({"version": 1}),
        json.dumps({"version": 1, "rates": good["rates"] | {"additions": -1.0}}),
        json.dumps({"version": 1, "rates": good["rates"] | {"target": "cuda"}}),
    ]
    for text in damaged:
        path.write_text(text)
        with pytest.raises(InputError, match="rates-cpu"):
            read_rates("cpu")
    assert rates_path("cpu") == path


def test_unknown_devices(cache: Path) -> None:
    """Protects predictions from a device of which nothing is known: that is an error that names those that are."""
    with pytest.raises(ParameterError, match="nothing is known of the speed of cuda"):
        known_rates("cuda")
    assert known_rates("a100").target == "cuda"
    assert not any(rates.measured for rates in ACCELERATORS.values())


def test_fit_finds_rates() -> None:
    """Protects calibration: of times that are made from rates, the fit predicts every one within a tenth."""
    truth = replace(CORE, additions=1e-10, bytes=1e-9, steps=1e-5)
    kinds = [measured_sample(sample, "cpu", 1) for sample in samples()[:1]]
    works = [Work(*row) for row in np.random.default_rng(0).uniform(1, 10, (12, 8)) * np.geomspace(1e8, 1e2, 8)]
    found = [replace(kinds[0], work=work, seconds=truth.seconds(work)) for work in works]
    rates = fitted("core", "cpu", found, 1.0, 1.0)
    for x in found:
        assert rates.seconds(x.work) == pytest.approx(x.seconds, rel=0.1)


def explained(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, Any]:
    """Exit status and output of `ntc explain` of the digits CNN."""
    monkeypatch.setattr("sys.argv", ["ntc", "explain", str(ROOT / "examples" / "digits_cnn.nt"), *arguments])
    status = run()
    captured = capsys.readouterr()
    return status, captured.out + captured.err


def test_explain_predicts(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], cache: Path) -> None:
    """Protects the command: seconds and bytes, budgets that fit, and that numbers from data sheets say so."""
    status, text = explained(monkeypatch, capsys, "--n", "50000", "--target", "h100", "--devices", "8")
    assert status == 0
    assert "not measured" in text
    assert "on 8 devices" in text
    status, text = explained(monkeypatch, capsys, "--n", "100", "--budget-time", "60", "--json")
    found = json.loads(text)
    assert found["cost"]["seconds"] > 0
    graph = lower(ntc.load_graph(ROOT / "examples" / "digits_cnn.nt"))
    assert price(graph, CORE, found["n"], None, 2**32, 2).seconds < 70


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--n2", "5"), "--n2 is given without --n"),
        (("--target", "h1000"), "expected cpu, cuda, tpu"),
        (("--n", "5", "--target", "tpu"), "nothing is known of the speed of tpu"),
    ],
)
def test_explain_refuses(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    cache: Path,
    arguments: tuple[str, ...],
    message: str,
) -> None:
    """Protects the command line: a wrong option is one message, and exit status 2 if it is wrong in itself."""
    status, text = explained(monkeypatch, capsys, *arguments)
    assert status == (1 if "nothing is known" in message else 2)
    assert message in text
