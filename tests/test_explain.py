"""ntc explain: what is tracked and what it costs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given

from ntc import nn
from ntc.cli.explain import count
from ntc.cli.main import run
from ntc.compiler import lower
from ntc.frontend.layers import Network
from ntc.ir.graph import Graph
from ntc.plan import is_cross
from ntc.plan.explain import Explanation, explain
from tests.strategies import tensor_graphs

EXAMPLES = Path(__file__).parents[1] / "examples"
CONV = nn.serial(nn.conv(4, 3), nn.relu())


def explained(network: Network) -> Explanation:
    """What is said of a network."""
    return explain(lower(network.graph()))


def command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    """Exit status and output of `ntc explain`."""
    monkeypatch.setattr("sys.argv", ["ntc", "explain", *arguments])
    status = run()
    return status, capsys.readouterr().out


def test_wide_residual_network(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Protects what people come for: two strides below a global pool leave 64 of 1024 offsets in the first stage."""
    status, text = command(monkeypatch, capsys, str(EXAMPLES / "wrn.nt"))
    assert status == 0
    (first,) = (line for line in text.splitlines() if "32x32" in line)
    assert "64 of 1024" in first
    assert "-28..28/4" in first
    assert "64 of 256" in text
    unbroken = " ".join(text.split())
    assert "a block of 14 values 3 times" in unbroken
    assert "global_avg_pool1 reads every pair of positions" in unbroken
    assert max(map(len, text.splitlines())) <= 80


def test_json_has_every_layer(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Protects programs that read it: layers are not collapsed, totals are sums."""
    status, text = command(monkeypatch, capsys, str(EXAMPLES / "digits_cnn.nt"), "--json")
    found = json.loads(text)
    assert status == 0
    assert [layer["layer"] for layer in found["layers"]].count("conv2") == 1
    assert found["operations"] == sum(layer["operations"] for layer in found["layers"])


def test_bad_input_is_one_message(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Protects the command line: a missing file is exit status 1, without a traceback."""
    assert command(monkeypatch, capsys, "missing.nt")[0] == 1


def test_bands_between_poolings() -> None:
    """Protects counts of offsets: 7 x 7, then 3 x 3, then one."""
    network = nn.input(32, 32, 3) >> CONV >> nn.avg_pool(2) >> CONV >> nn.avg_pool(2) >> CONV >> nn.flatten()
    tracked = {layer.layer: (layer.tracked, layer.all_offsets) for layer in explained(network).layers}
    assert tracked["conv1"] == (49, 1024)
    assert tracked["conv2"] == (9, 256)
    assert tracked["conv3"] == (1, 64)


@pytest.mark.parametrize(
    ("network", "reason"),
    [
        (nn.input(8, 3) >> CONV >> nn.global_avg_pool(), "global_avg_pool1 reads every pair of positions"),
        (nn.input(8, 3) >> CONV >> nn.avg_pool(2) >> nn.flatten(), "relu1 is stored whole"),
        (
            nn.input(5, 3) >> CONV >> nn.conv(4, 3, 2, "circular") >> nn.global_avg_pool(),
            "conv2 changes offsets where it wraps around",
        ),
        (nn.input(3) >> nn.dense(4) >> nn.relu(), "the network has no positions"),
        (nn.input(8, 3) >> CONV, "the output keeps its positions"),
    ],
)
def test_reasons(network: Network, reason: str) -> None:
    """Protects each sentence: it is said of a network for which it is true."""
    assert any(reason in said for said in explained(network).reasons)


@given(tensor_graphs())
def test_costs_are_at_most_naive(network: Graph) -> None:
    """Protects the comparison: tracking costs no more than every pair, and every value is counted once."""
    graph = lower(network)
    found = explain(graph)
    entries = sum(graph.covariance_of(node.name).entries for node in graph.nodes if is_cross(node))
    assert sum(layer.entries for layer in found.layers) == entries
    for layer in found.layers:
        assert layer.tracked <= layer.all_offsets or layer.entries <= 4 * layer.naive_entries


def test_numbers_have_units() -> None:
    """Protects numbers in the table: three digits and a unit."""
    assert [count(x) for x in (7, 1234, 66_100_000, 1.5e12)] == ["7", "1.23k", "66.1M", "1.5T"]
