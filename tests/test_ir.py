"""Graphs as text and JSON, both ways; what readers refuse; fuzzing of every reader."""

from __future__ import annotations

import json
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from ntc.compiler import lower
from ntc.errors import Location, NtcError, ParameterError, ParseError, Source
from ntc.ir.graph import Graph
from ntc.ir.json import from_json, to_json
from ntc.ir.kernel import KERNEL_OPS
from ntc.ir.ops import TENSOR_OPS
from ntc.ir.parser import parse_graph, parse_passes
from ntc.ir.printer import show
from ntc.ir.types import Between
from ntc.ir.typetext import parse_type
from ntc.ir.verify import verify
from ntc.passes.pipeline import PASSES, parse_pipeline
from ntc.passes.track import demand
from ntc.passes.translate import Translate
from tests.networks import NETWORKS
from tests.strategies import tensor_graphs, trials

betweens = st.sampled_from(get_args(Between))


def kernel_graphs() -> SearchStrategy[Graph]:
    """Random kernel graphs: each kind of pairs of examples, before and after the passes, in both types."""

    def lowered(graph: Graph, between: Between, optimize: bool, dtype: Any) -> Graph:
        return lower(graph, between, dtype=dtype, optimize=optimize)

    dtypes = st.sampled_from(["float32", "float64"])
    return st.builds(lowered, tensor_graphs(), betweens, st.booleans(), dtypes)


graphs = st.one_of(tensor_graphs(extreme=True), kernel_graphs())


@given(graphs)
def test_text_round_trip(graph: Graph) -> None:
    """Protects files of IR: every graph is what its text reads as, and prints the same again."""
    text = show(graph)
    assert parse_graph(text) == graph
    assert show(parse_graph(text), locations=False) == text
    verify(parse_graph(text))


@given(graphs, st.sampled_from([None, 2]))
def test_json_round_trip(graph: Graph, indent: int | None) -> None:
    """Protects JSON documents, floats to the last bit."""
    text = to_json(graph, indent)
    assert from_json(text) == graph
    assert json.loads(text)["format"] == 1


@given(kernel_graphs())
def test_types_round_trip(graph: Graph) -> None:
    """Protects the text of types, with every kind of offsets that an analysis finds."""
    for name, offsets in demand(graph).items():
        type_ = graph.covariance_of(name).with_offsets(offsets)
        assert parse_type(str(type_)) == type_


def test_locations_are_comments_that_are_not_compared() -> None:
    """Protects equality: the same network written elsewhere is the same graph."""
    text = show(NETWORKS["mlp"].graph())
    read = parse_graph(text, "some.ir")
    assert all(node.location is not None for node in read.nodes)
    assert "// some.ir:2:" in show(read)
    assert show(read, locations=False) == text


def test_networkx_view() -> None:
    """Protects the networkx view: a node per value, an edge per operand in order, also of repeated operands."""
    graph = Translate()(NETWORKS["joined"].graph())
    view = graph.networkx()
    assert set(view) == {value.name for value in graph.values}
    assert view.number_of_edges() == sum(len(node.operands) for node in graph.nodes)
    for node in graph.nodes:
        edges = sorted((data["position"], operand) for operand, _, data in view.in_edges(node.name, data=True))
        assert [operand for _, operand in edges] == list(node.operands)
        assert view.nodes[node.name]["op"] == node.op
        assert view.nodes[node.name]["type"] == node.type


GOOD = "tensor @g(%x: tensor[N,4,2]) -> (y: %a) {\n  %a = conv(%x) {channels=3, kernel=2} : gaussian[N,4,3]\n}\n"
BAD_TEXTS: dict[str, tuple[str, str, int, int]] = {
    "empty": ("", "is not expected here", 1, 1),
    "no name": ("tensor (", "'('", 1, 8),
    "strange character": (GOOD.replace("conv", "co$v"), "this character is not expected", 2, 10),
    "unknown op": (GOOD.replace("conv", "con"), "unknown op `con`", 2, 8),
    "kernel op": (GOOD.replace("conv", "gram"), "unknown op `gram`", 2, 8),
    "unknown parameter": (GOOD.replace("kernel", "kernal"), "conv has no parameter `kernal`", 2, 8),
    "parameter twice": (GOOD.replace("kernel=2", "kernel=2, kernel=2"), "a parameter is given twice", 2, 8),
    "missing parameter": (GOOD.replace(", kernel=2", ""), "missing parameter `kernel`", 2, 8),
    "parameter of a wrong type": (GOOD.replace("kernel=2", "kernel=same"), "kernel = same", 2, 8),
    "float for a count": (GOOD.replace("kernel=2", "kernel=2.5"), "kernel = 2.5", 2, 8),
    "zero": (GOOD.replace("channels=3", "channels=0"), "channels = 0", 2, 8),
    "negative scale": (GOOD.replace("kernel=2", "kernel=2, w_std=-1.0"), "w_std = -1.0", 2, 8),
    "number of 41 digits": (GOOD.replace("kernel=2", f"kernel={'1' * 41}"), "at most 40 digits", 2, 37),
    "not a type": (GOOD.replace("gaussian[N,4,3]", "gaussian[N,0,3]"), "is not a type", 2, 42),
    "bad input type": (GOOD.replace("tensor[N,4,2]", "tensor[N]"), "is not a type", 1, 15),
    "too many axes": (GOOD.replace("tensor[N,4,2]", "tensor[N,1,1,1,1,2]"), "more than 3 spatial axes", 1, 15),
    "no type": (GOOD.replace(" : gaussian[N,4,3]", ""), "is not expected here", 3, 1),
}


@pytest.mark.parametrize("bad", BAD_TEXTS)
def test_errors_of_the_text_reader_have_a_place(bad: str) -> None:
    """Protects people who edit IR: the message names the fault, the location points at it."""
    assert parse_graph(GOOD).name == "g"
    text, message, line, column = BAD_TEXTS[bad]
    with pytest.raises((ParseError, ParameterError)) as caught:
        parse_graph(text, "file.ir")
    error = caught.value
    assert message in error.message
    assert error.location == Location(Source("file.ir", text), line, column, error.location.length)  # type: ignore[union-attr]
    assert str(error).startswith(f"file.ir:{line}:{column}: error: ")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("cov[N,M]", "begins with f32 or f64"),
        ("f32 cov[N]", "cov is cov"),
        ("f32 var[N,M]", "var is var"),
        ("f32 cov[N,M | 3]", "cov is cov"),
        ("f32 cov[N,M | 3 | 0,0]", "one offset set is needed per size"),
        ("f32 cov[N,M | 3 | -3..0]", "do not fit a size of 3"),
        ("f32 cov[N,M | 3 | 2..1]", "do not fit a size of 3"),
        ("f32 cov[N,M | 9 | 0..3/2]", "do not fit a size of 9"),
        ("f32 cov[N,M | 3 | 1]", "is not 0, *"),
        ("f32 cov[N,M | 0 | 0]", "sizes are between 1"),
        ("f32 cov[N,M | -3 | 0]", "positive integers"),
        ("f32 cov[N,2 | 3 | 0]", "not a batch name"),
        ("f32 tensor[N,3]", "only a covariance"),
        ("f64[N,99999999999]", "positive integers"),
        ("f64[N,3000000000]", "sizes are between"),
        ("blue[N,3]", "is not a type"),
        ("tensor[N,3", "is not a type"),
    ],
)
def test_errors_of_types(text: str, message: str) -> None:
    """Protects the reader of types, on which all sizes in memory depend."""
    with pytest.raises(ParseError) as caught:
        parse_type(text)
    assert message in str(caught.value)


def document(**changes: Any) -> str:
    """A JSON graph with other values at the top."""
    return json.dumps({**json.loads(to_json(parse_graph(GOOD))), **changes})


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        document(format=2),
        document(kind="loop"),
        document(nodes=[{}]),
        document(extra=1),
        document(name=3),
        document(inputs=[{"name": "x", "type": "tensor[N]"}]),
        document(nodes=[{"name": "a", "type": "tensor[N,2]", "op": "no", "operands": [], "attributes": {}}]),
        document(nodes=[{"name": "a", "type": "tensor[N,2]", "op": "relu", "operands": [], "attributes": {"b": 1}}]),
        document(nodes=[{"name": "a", "type": "tensor[N,2]", "op": "relu", "operands": [1], "attributes": {}}]),
        document(
            nodes=[{"name": "a", "type": "tensor[N,2]", "op": "dense", "operands": [], "attributes": {"features": {}}}]
        ),
    ],
)
def test_errors_of_the_json_reader(text: str) -> None:
    """Protects readers of documents: what is not one is a ParseError or ParameterError."""
    with pytest.raises((ParseError, ParameterError)):
        from_json(text)


WORDS = [*TENSOR_OPS, *KERNEL_OPS, *PASSES, "tensor", "kernel", "@g", "%x", "%y.k", "->", "(", ")", "{", "}", ",", "="]
WORDS += [
    ":",
    "y:",
    "f32[N,3]",
    "tensor[N,3]",
    "f64 cov[N,M | 3 | 0]",
    "1",
    "-2.5",
    "1e400",
    "nan",
    "1" * 50,
    "//",
    "\n",
]
WORDS += [
    "true",
    "none",
    "same",
    "channels=1",
    "kernel=(1,)",
    "phi=relu",
    "phi=erf(a=1.0)",
    "alpha=foo(x=1)",
    "\x00",
    "é",
]
soup = st.lists(st.sampled_from(WORDS), max_size=30).map(" ".join)


@st.composite
def mutated(draw: st.DrawFn, texts: SearchStrategy[str]) -> str:
    """A valid text with a few stretches removed, repeated or replaced."""
    text = draw(texts)
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(text)))
        end = min(len(text), start + draw(st.integers(0, 8)))
        text = text[:start] + draw(st.one_of(st.just(""), st.sampled_from(WORDS), st.text(max_size=3))) + text[end:]
    return text


texts = st.sampled_from([*NETWORKS]).flatmap(
    lambda name: st.sampled_from([NETWORKS[name].graph(), lower(NETWORKS[name].graph(), "self")])
)


def read(reader: Any, text: str) -> Any:
    """What the reader makes of the text; None if it refuses it on purpose. Any other exception is a defect."""
    try:
        return reader(text)
    except NtcError:
        return None


@trials(200)
@given(st.one_of(soup, st.text(max_size=50), mutated(texts.map(show))))
def test_reading_any_text_raises_only_our_errors(text: str) -> None:
    """Protects `ntc` from files of unknown quality: graphs."""
    graph = read(parse_graph, text)
    if graph is not None:
        read(verify, graph)


PIPELINE = "translate{between=self, dtype=f64, kernels=(nngp,)}, fold, cse, dce, track"


@trials(200)
@given(st.one_of(soup, st.text(max_size=50), mutated(st.just(PIPELINE))))
def test_reading_any_pipeline_raises_only_our_errors(text: str) -> None:
    """Protects the command line: pipelines."""
    read(parse_passes, text)
    read(parse_pipeline, text)


@trials(120)
@given(st.one_of(st.text(max_size=50), mutated(texts.map(to_json))))
def test_reading_any_json_raises_only_our_errors(text: str) -> None:
    """Protects `ntc` from documents of unknown quality; what verifies also survives as text."""
    graph = read(from_json, text)
    if graph is not None and read(verify, graph):
        assert parse_graph(show(graph)) == graph


@pytest.mark.parametrize("reader", [parse_graph, parse_pipeline, from_json])
@pytest.mark.parametrize("depth", [100, 100_000])
def test_deep_nesting_is_refused(reader: Any, depth: int) -> None:
    """Protects against texts that nest without end."""
    nested = "relu(a=" * depth + "1" + ")" * depth
    texts = {
        parse_graph: GOOD.replace("kernel=2", f"kernel={nested}"),
        parse_pipeline: f"fold{{a={nested}}}",
        from_json: "[" * depth + "]" * depth,
    }
    with pytest.raises(NtcError):
        reader(texts[reader])
