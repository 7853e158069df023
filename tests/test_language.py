"""The language means what the builder means, for every layer and every example file."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ntc import nn
from ntc.compiler import build
from ntc.frontend.elaborate import list_models, load_graph, read_graph, read_network
from ntc.frontend.layers import Apply, Layer, Network, Serial
from ntc.ir.construct import attributes, literal, parameters, signature
from ntc.ir.ops import TENSOR_OPS
from tests.strategies import JOINS, ops_of

EXAMPLES = Path(__file__).parents[1] / "examples"
DOCS = Path(__file__).parents[1] / "docs"
ROOT2 = 2**0.5


def conv_relu(count: int, channels: int, **options: float) -> Layer:
    return nn.repeat(count, nn.conv(channels, (3, 3), **options) >> nn.relu())  # type: ignore[arg-type]


def residual(channels: int, stride: int = 1, project: bool = False) -> Layer:
    main = nn.relu() >> nn.conv(channels, (3, 3), stride) >> nn.relu() >> nn.conv(channels, (3, 3))
    return nn.sum(main, nn.conv(channels, (3, 3), stride) if project else nn.identity())


def group(count: int, channels: int, stride: int = 1) -> Layer:
    return residual(channels, stride, True) >> nn.repeat(count - 1, residual(channels))


def wide_resnet(n: int, k: int) -> Network:
    groups = group(n, 16 * k) >> group(n, 32 * k, 2) >> group(n, 64 * k, 2)
    return nn.input(32, 32, 3) >> nn.conv(16, (3, 3)) >> groups >> nn.global_avg_pool() >> nn.dense(10)


def myrtle(*counts: int) -> Network:
    first, second, third = (conv_relu(count, 64, w_std=ROOT2) for count in counts)
    pool = nn.avg_pool((2, 2))
    layers = first >> pool >> second >> pool >> third >> pool >> pool >> pool
    return nn.input(32, 32, 3) >> layers >> nn.flatten() >> nn.dense(10, ROOT2)


def digits() -> dict[str, Network]:
    image = nn.input(8, 8, 1)
    dense = nn.dense(512, ROOT2, 0.1) >> nn.relu()
    conv = nn.conv(64, 3, w_std=ROOT2, b_std=0.1) >> nn.relu()
    return {
        "digits_fc": image >> nn.flatten() >> dense >> dense >> nn.dense(10),
        "digits_conv": image >> conv >> conv >> nn.flatten() >> nn.dense(10),
        "digits_cnn": image >> conv >> nn.avg_pool(2) >> conv >> conv >> nn.avg_pool(2) >> nn.flatten() >> nn.dense(10),
    }


SAME: dict[tuple[str, str | None, tuple[tuple[str, str], ...]], Network] = {
    ("wrn.nt", None, ()): wide_resnet(4, 1),
    ("wrn.nt", "wrn", (("n", "2"), ("k", "1 + 2"))): wide_resnet(2, 3),
    ("myrtle.nt", "myrtle5", ()): myrtle(2, 1, 1),
    ("myrtle.nt", "myrtle7", ()): myrtle(2, 2, 2),
    ("myrtle.nt", "myrtle10", ()): myrtle(3, 3, 3),
    ("conv.nt", None, ()): nn.input(32, 32, 3)
    >> conv_relu(3, 128, w_std=ROOT2, b_std=0.1)
    >> nn.flatten()
    >> nn.dense(10),
    ("fully_connected.nt", None, (("depth", "1"),)): nn.input(784)
    >> nn.dense(512, 1.5, 0.05)
    >> nn.relu()
    >> nn.dense(10, 1.5, 0.05),
} | {(f"{name}.nt", None, ()): network for name, network in digits().items()}


@pytest.mark.parametrize("case", SAME, ids=str)
def test_examples_are_the_networks_they_name(case: tuple[str, str | None, tuple[tuple[str, str], ...]]) -> None:
    """Protects the examples and the meaning of let, repeat, if, defaults and -p: the builder gives the same graph."""
    file, model, parameters = case
    graph = load_graph(EXAMPLES / file, model, dict(parameters))
    assert graph == SAME[case].graph(graph.name)


@pytest.mark.parametrize("case", SAME, ids=str)
def test_examples_compile(case: tuple[str, str | None, tuple[tuple[str, str], ...]]) -> None:
    """Protects the example files from networks that no pass accepts: a program is made of each."""
    file, model, parameters = case
    build(load_graph(EXAMPLES / file, model, dict(parameters)))


def test_every_example_is_tested() -> None:
    """Protects example files from being forgotten here."""
    assert {path.name for path in EXAMPLES.glob("*.nt")} == {file for file, _, _ in SAME}


def written(value: object) -> str:
    """A value as the language has it: formulas are without the quotes of the IR."""
    return literal(value).strip('"')


@pytest.mark.parametrize("name", [name for name, op in TENSOR_OPS.items() if op not in JOINS])
@given(data=st.data())
def test_every_layer_with_every_parameter(name: str, data: st.DataObject) -> None:
    """Protects the derivation of the language from the op classes: any valid parameters, by name or position."""
    op = data.draw(ops_of(TENSOR_OPS[name], 2, extreme=True))
    everything = ", ".join(written(getattr(op, parameter.name)) for parameter in parameters(TENSOR_OPS[name]))
    named = ", ".join(f"{k} = {written(v)}" for k, v in attributes(op).items())
    for arguments in (named, everything):
        network = read_network(f"model m = input(2, 2, 1) |> {name}({arguments})")
        assert network.layers == (Serial((Apply(op),)),)


LAWS = {
    "1 + 2 * 3": "7",
    "(1 + 2) * 3": "9",
    "2 - 3 - 4": "0 - 5",
    "-2 ** 2": "-4",
    "2 ** 3 ** 2": "512",
    "2 ** -1": "0.5",
    "7 // 2": "3",
    "7 % 4": "3",
    "8 / 2": "4.0",
    "sqrt(16)": "4",
    "min(3, 1, 2)": "1",
    "max(3, 1, 2)": "3",
    "1.5e2": "150",
    "if 1 < 2 and not 2 < 1 then 1 else 1 / 0": "1",
    "if false or 1 == 1 then 1 else 0": "1",
    "if true or 1 / 0 == 1 then 1 else 0": "1",
    "if (1, 2) == (1, 2) then 1 else 0": "1",
    "if same == valid then 1 else 0": "0",
    "if 3 >= 3 and 3 <= 3 and 3 != 4 then 1 else 0": "1",
    "if false then 1 else if true then 2 else 3": "2",
}


@pytest.mark.parametrize("expression", LAWS)
def test_operators(expression: str) -> None:
    """Protects precedence, associativity and short circuits."""
    text = f"model m = input(1) |> dense(if {expression} == {LAWS[expression]} then 1 else 2)"
    if expression.startswith("if"):
        text = f"model m = input(1) |> dense(if ({expression}) == {LAWS[expression]} then 1 else 2)"
    assert read_graph(text).nodes[0].op.features == 1  # type: ignore[attr-defined]


def test_pipes_are_flat_and_associative() -> None:
    """Protects |>: grouping does not matter, and a network may be extended in parts."""
    plain = read_graph("model m = input(3) |> dense(2) |> relu |> dense(1)")
    grouped = read_graph("let n = input(3) |> dense(2)\nlet r = relu |> dense(1)\nmodel m = (n) |> (r)")
    assert plain == grouped == (nn.input(3) >> nn.dense(2) >> nn.relu() >> nn.dense(1)).graph("m")


@given(
    st.lists(st.sampled_from(["dense(2)", "relu", "erf()", "identity", "sum(dense(2), dense(2))"]), max_size=6),
    st.sampled_from(["\n", "\r\n", " # note |> (\n", "\t"]),
)
def test_white_space_and_comments_do_not_matter(layers: list[str], space: str) -> None:
    """Protects layout: line ends of any system, tabs, comments."""
    layers = [x for layer in layers for x in ("dense(2)", layer)]
    text = " |> ".join(["model m = input(3)", *layers])
    assert read_graph(text) == read_graph(text.replace(" ", f" {space} ") + space)


def test_functions_and_scopes() -> None:
    """Protects calls: order of definitions is free, defaults see earlier parameters, parameters hide lets."""
    text = """
    model m(a = 2, b = a * 3) = input(a) |> f(b, c = 1) |> f(c = 5)
    let f(a = width, c) = dense(a + c) |> done()
    let width = 7
    let done() = identity
    """
    graph = read_graph(text)
    assert [graph.tensor_of(node.name).channels for node in graph.nodes] == [7, 7, 12, 12]
    assert read_graph(text, parameters={"a": "1"}).tensor_of("dense1").channels == 4
    assert list_models(text) == ["m(a = 2, b = ...)"]


def test_models_are_chosen_by_name() -> None:
    """Protects files with several models; a byte order mark is no part of the text."""
    text = "model a = input(1)\nmodel b = input(2)"
    assert read_graph(text, model="b").name == "b"
    assert read_graph(text, model="a").inputs != read_graph(text, model="b").inputs


def test_files_may_begin_with_a_byte_order_mark(tmp_path: Path) -> None:
    """Protects files written on Windows."""
    path = tmp_path / "m.nt"
    path.write_bytes(b"\xef\xbb\xbfmodel m = input(3)\r\n  |> dense(2)\r\n")
    assert load_graph(path) == (nn.input(3) >> nn.dense(2)).graph("m")


def test_the_documentation_lists_every_layer() -> None:
    """Protects docs/language.md: signatures there are those of the code."""
    text = (DOCS / "language.md").read_text()
    for op in TENSOR_OPS.values():
        if op.arity is not None:
            assert f"`{signature(op)}`".replace("()", "") in text, signature(op)
        else:
            assert f"`{op.name}(a, b, ...)`" in text
