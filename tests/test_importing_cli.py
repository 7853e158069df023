"""Networks of Python code on the command line, and networks as text."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import ntc
from ntc import nn
from ntc.errors import UnsupportedError
from ntc.frontend.unbuild import canonical
from ntc.frontend.write import model_text
from tests import command_line

CODE = """
import jax
import jax.numpy as jnp
from ntc import nn

def build_model(width=16):
    def draw(key):
        a, b = jax.random.split(key)
        return {"w1": jax.random.normal(a, (5, width)) / 5**0.5, "w2": jax.random.normal(b, (width, 2)) / width**0.5}
    return (lambda p, x: jax.nn.relu(x @ p["w1"]) @ p["w2"]), draw, jnp.zeros((1, 5))

def network():
    return nn.input(5) >> nn.dense(8) >> nn.relu() >> nn.dense(1)

def fails():
    return 1 / 0

def number():
    return 3

recurrent = (lambda p, x: jnp.tanh(jnp.tanh(x @ p) @ p) @ p), jnp.ones((5, 5)), jnp.zeros((1, 5))
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with Python code and examples."""
    (tmp_path / "nets.py").write_text(CODE)
    np.save(tmp_path / "a.npy", np.random.default_rng(0).normal(size=(3, 5)).astype(np.float32))
    return tmp_path


def test_python_code_stands_wherever_a_model_file_does(folder: Path) -> None:
    """Protects `model.py:build_model`: shown, computed, written as a model file with the same kernels."""
    assert "dense(features=24" in command_line.run(folder, "show nets.py:build_model -p width=24").stdout
    assert "relu1" in command_line.run(folder, "show nets.py:network").stdout
    command_line.run(folder, "kernel nets.py:build_model --x1 a.npy -o a.npz")
    command_line.run(folder, "import nets.py:build_model -o model.nt")
    command_line.run(folder, "kernel model.nt --x1 a.npy -o b.npz")
    with np.load(folder / "a.npz") as first, np.load(folder / "b.npz") as second:
        assert np.array_equal(first["ntk"], second["ntk"])
    assert "model build_model =" in (folder / "model.nt").read_text()


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("nets.py:nothing", "nets.py has no `nothing`"),
        ("other.py:network", "there is no file other.py"),
        ("nets.py:fails", "ZeroDivisionError"),
        ("nets.py:number", "gives int"),
        ("nets.py:recurrent", "is used again"),
    ],
)
def test_what_is_wrong_with_python_code_is_said(folder: Path, name: str, message: str) -> None:
    """Protects from tracebacks: what is not there, fails, or is no network."""
    done = command_line.run(folder, f"show {name}", 1)
    assert message in done.stderr


def residual(channels: int, stride: int = 1) -> nn.Branch:
    """A block of a residual network."""
    shortcut = nn.identity() if stride == 1 else nn.conv(channels, 1, stride, b_std=0.1)
    main = nn.relu() >> nn.conv(channels, 3, stride, b_std=0.1) >> nn.relu() >> nn.conv(channels, 3, b_std=0.1)
    return nn.sum(shortcut, main)


def test_networks_are_written_with_names_and_repetitions() -> None:
    """Protects how imported files read: repeated blocks, blocks that differ in numbers, roots; and that they do."""
    stem = nn.input(8, 8, 3) >> nn.conv(16, 3, b_std=0.1) >> nn.repeat(3, residual(16))
    deep = stem >> residual(32, 2) >> nn.repeat(2, residual(32)) >> residual(64, 2) >> residual(64)
    graph = (deep >> nn.global_avg_pool() >> nn.dense(10, 2**0.5)).graph("resnet")
    text = model_text(graph)
    assert "|> repeat(3, residual(16))" in text
    assert "|> repeat(2, residual(32))" in text
    assert "let projected(channels) =" in text
    assert "dense(10, w_std = sqrt(2))" in text
    assert canonical(ntc.read_graph(text)) == canonical(graph)


def test_every_example_is_written_and_read_back() -> None:
    """Protects the writer: the networks of all example files are the same when they are read back."""
    for path in sorted((Path(__file__).parents[1] / "examples").glob("*.nt")):
        for line in path.read_text().splitlines():
            if line.startswith("model "):
                graph = ntc.load_graph(path, model=line.split()[1].split("(")[0])
                assert canonical(ntc.read_graph(model_text(graph))) == canonical(graph)


def test_what_the_language_cannot_say_is_refused() -> None:
    """Protects from another network in a file: several inputs have no text here."""
    both = nn.sum(nn.input(3, name="a") >> nn.dense(2), nn.input(3, name="b") >> nn.dense(2))
    with pytest.raises(UnsupportedError, match="several inputs"):
        model_text(both.graph())


def test_parameters_of_blocks_have_names_that_are_free() -> None:
    """Protects what is written from words of the language: `bias` is a layer as well as a parameter."""
    pairs = ((4, True), (5, False), (6, True), (7, False))
    layers = [nn.dense(n, bias=with_bias) >> nn.erf() for n, with_bias in pairs]
    graph = (nn.input(3) >> nn.serial(*layers) >> nn.dense(1)).graph("net")
    text = model_text(graph)
    assert "with_bias = true) =" in text
    assert canonical(ntc.read_graph(text)) == canonical(graph)


def test_what_is_imported_goes_to_standard_output(folder: Path) -> None:
    """Protects pipes: `-o -` is standard output as everywhere, and no file of that name is left."""
    text = command_line.run(folder, "import nets.py:network -o -").stdout
    assert text == command_line.run(folder, "import nets.py:network").stdout
    assert "model " in text
    assert not (folder / "-").exists()
