"""The comparison with the reference before long computations, and names in compiled programs."""

from __future__ import annotations

import re
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import ntc
from ntc import nn
from ntc.backends.jax.emit import rows as emitters
from ntc.backends.jax.run.self_test import SelfTest
from ntc.cli.main import run
from ntc.errors import SelfTestError
from ntc.ir import kernel

NETWORK = (
    nn.input(6, 6, 2) >> nn.conv(4, 3) >> nn.relu() >> nn.avg_pool(2) >> nn.conv(4, 3) >> nn.relu() >> nn.flatten()
)
X = np.random.default_rng(0).normal(size=(5, 6, 6, 2))


def test_right_programs_pass() -> None:
    """Protects users from false alarms: both precisions, zeros and equal examples, and missing numbers."""
    strange = np.concatenate([np.zeros_like(X[:1]), X[:1], X[:1], np.full_like(X[:1], np.nan)])
    ntc.build(NETWORK)(X[:4], strange, self_test=True)
    ntc.build(NETWORK, dtype="float64")(X[:4], X[:4], self_test=True)


@pytest.mark.parametrize("op", [kernel.Window, kernel.DualDot, kernel.Reduce])
def test_wrong_programs_are_caught(monkeypatch: pytest.MonkeyPatch, op: type[kernel.Window]) -> None:
    """Protects results: a program with one emitter that is off by five percent stops before anything is computed."""
    right = emitters.EMITTERS[op]
    monkeypatch.setitem(emitters.EMITTERS, op, lambda *args: 1.05 * right(*args))  # type: ignore[index]
    program = ntc.build(NETWORK)
    with pytest.raises(SelfTestError, match="differs from the float64 reference"):
        program(X, self_test=True)
    program(X, self_test=False)


def test_long_computations_are_tested(monkeypatch: pytest.MonkeyPatch) -> None:
    """Protects the default: what is predicted to be long is tested, and what is short is not."""
    seen: list[int] = []
    monkeypatch.setattr(SelfTest, "run", lambda self, x1, x2: seen.append(len(x1)) or True)
    program = ntc.build(NETWORK)
    program(X)
    assert seen == []
    program = ntc.build(NETWORK)  # predictions are remembered
    monkeypatch.setattr("ntc.backends.jax.program.LONG", 0.0)
    program(X)
    program(X, self_test=False)
    assert seen == [5]


def test_huge_images_are_not_tested() -> None:
    """Protects against a test that takes longer than the computation."""
    network = nn.input(224, 224, 3) >> nn.conv(4, 3) >> nn.relu() >> nn.flatten()
    test = SelfTest(ntc.lower(network.graph()), "f32", lambda x1, x2: {})
    assert test.too_large
    assert not test.run(np.zeros((1, 224, 224, 3)), np.zeros((1, 224, 224, 3)))


def test_a_test_that_is_not_made_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """Protects users from taking a program for tested that was not; and the default that a program is given."""
    monkeypatch.setattr("ntc.backends.jax.run.self_test.MOST_ENTRIES", 1.0)
    program = ntc.build(NETWORK).with_self_test(True)
    with pytest.warns(UserWarning, match="no self-test"):
        program(X)
    program.with_self_test(False)(X)


def test_compiled_operations_carry_names_of_the_ir() -> None:
    """Protects profiles: for every value between examples there is an operation of its name in the compiled program."""
    graph = ntc.lower(NETWORK.graph())
    x = jnp.zeros((2, 6, 6, 2))
    text = jax.jit(ntc.backends.jax.emit.stages.emit(graph)).lower(x, x).compile().as_text()
    found = set(re.findall(r'op_name="[^"]*ntc\.([\w.]+)', text))
    assert {node.name for node in graph.nodes if len(graph.covariance_of(node.name).batch) == 2} <= found


def test_profile(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Protects --profile: a trace is written beside the result."""
    np.save(tmp_path / "x.npy", np.random.default_rng(0).normal(size=(3, 4)))
    (tmp_path / "net.nt").write_text("model net = input(4) |> dense(8) |> relu |> dense(1)\n")
    files = {name: str(tmp_path / name) for name in ("net.nt", "x.npy", "k.npz", "trace")}
    arguments = [files["net.nt"], "--x1", files["x.npy"], "-o", files["k.npz"], "--profile", files["trace"]]
    monkeypatch.setattr("sys.argv", ["ntc", "kernel", *arguments])
    assert run() == 0
    assert (tmp_path / "k.npz").exists()
    assert list((tmp_path / "trace").rglob("*.xplane.pb"))
