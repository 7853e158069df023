"""Mistakes in model files: what is said, where, and what is suggested."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import ntc
from ntc import nn
from ntc.errors import (
    DependenceError,
    ElaborationError,
    InputError,
    LimitError,
    NotGaussianError,
    NtcError,
    ParameterError,
    ParseError,
    ShapeError,
    UnsupportedError,
)
from ntc.frontend.elaborate import load_graph, read_graph


@dataclass(frozen=True)
class Row:
    """A text with a mistake; `«` and `»` enclose what the error must point at."""

    text: str
    error: type[NtcError]
    message: str
    hint: str = ""
    parameters: tuple[tuple[str, str], ...] = ()


def in_model(layers: str) -> str:
    return f"model m = input(8, 8, 3) |> {layers}"


SYNTAX = [
    Row("«lt» a = 3", ParseError, "expected `let`, `model` or the end of the file"),
    Row("let a = 3 «4»", ParseError, "`4` is not expected here, expected an operator"),
    Row("let a «3»", ParseError, "expected `=` or `(`"),
    Row("let «3» = 3", ParseError, "expected a name"),
    Row("let a(«3») = 3", ParseError, "expected `)` or a name"),
    Row("let a = conv(3 |> relu, 4", ParseError, "the file ends here"),
    Row("let a =\n\n«model» m = 3", ParseError, "expected a value"),
    Row("let a = (1, 2\n«let» b = 3", ParseError, "expected `,` or `)`"),
    Row("let a = 3 «)»", ParseError, "`)` is not expected here"),
    Row("let a = relu |> ", ParseError, "the file ends here, expected a value"),
    Row("let a = if true then «3»", ParseError, "expected `else`"),
    Row("let a = f(x = «)»", ParseError, "expected a value"),
    Row("let a = «[»3, 3]", ParseError, "'[' is not expected here", "(3, 3)"),
    Row('let a = «"»same', ParseError, "is not expected here", "ends on the line"),
    Row("let a = «'»same'", ParseError, "is not expected here", "double quotes"),
    Row('model m = input(«"»)', ParseError, "is not expected here", "ends on the line"),
    Row("let a = 3 «$» 4", ParseError, "'$' is not expected here"),
    Row("let a = 3\x00", ParseError, "'\\x00' is not expected here"),
    Row("let a = «9999999999999999»9", LimitError, "at most 9007199254740992"),
    Row("let a = «1e999»", LimitError, "at most 1.8e308"),
]

NAMES = [
    Row(in_model("«con»(3, 3)"), ElaborationError, "unknown name `con`", "did you mean `conv`?"),
    Row("let unused = «rely»\nmodel m = input(3)", ElaborationError, "unknown name `rely`", "did you mean `relu`?"),
    Row(in_model("conv(3, 3, padding = «sme»)"), ElaborationError, "unknown name `sme`", "did you mean `same`?"),
    Row("let a = 1\nlet «a» = 2", ElaborationError, "`a` is defined twice"),
    Row("let «relu» = 1", ElaborationError, "is a word of the language"),
    Row("let f(«same») = 1", ElaborationError, "is a word of the language"),
    Row("let f(x, «x») = 1", ElaborationError, "occurs twice"),
    Row("let f(x = «y», y = 1) = 1", ElaborationError, "unknown name `y`"),
    Row("let «a» = a", ElaborationError, "`a` is defined by itself (a -> a)", "repeat(n, layer)"),
    Row("let «f»(x) = g(x)\nlet g(x) = f(x)", ElaborationError, "defined by itself (f -> g -> f)"),
    Row("model m = input(3)\nlet f = «m»", ElaborationError, "unknown name `m`"),
    Row("", ElaborationError, "has no model", "write one: model"),
    Row("let a = 3", ElaborationError, "has no model"),
    Row("model a = input(3)\nmodel b = input(3)", ElaborationError, "several models", "--model: a, b"),
]

TYPES = [
    Row(in_model("«3»"), ElaborationError, "`|>` needs a layer on its right, got the number 3"),
    Row("model m = «3» |> relu", ElaborationError, "`|>` needs a layer, got the number 3"),
    Row("model m = «relu»", ElaborationError, "model `m` is a layer, not a network", "input(32, 32, 3)"),
    Row(in_model("«input»(3)"), ElaborationError, "got a network, which begins with input"),
    Row(in_model("dense(«relu»)"), ElaborationError, "dense: a parameter is a layer", "joined by |>"),
    Row(in_model("index((1, «relu»))"), ElaborationError, "a tuple holds numbers or rows of numbers, got a layer"),
    Row(in_model("index((1, «(»(1, 2),)))"), ElaborationError, "rows of numbers, got a tuple of tuples"),
    Row(in_model("index(«(»1, (1, 2)))"), ParameterError, "index: position = (1, (1, 2)); it should be"),
    Row(in_model("(if «3» then relu else relu)"), ElaborationError, "needs true or false, got the number 3"),
    Row(in_model("dense(1 «+» true)"), ElaborationError, "`+` needs a number, got `true`"),
    Row(in_model("dense(relu «==» relu)"), ElaborationError, "compares numbers, words and tuples, got a layer"),
    Row(in_model("dense(«-»same)"), ElaborationError, "`-` needs a number, got the word `same`"),
    Row(in_model("sum(relu, «3»)"), ElaborationError, "sum needs a layer, got the number 3"),
    Row(in_model("repeat(«relu», relu)"), ElaborationError, "repeat needs a number, got a layer"),
    Row(in_model("repeat(2, «2»)"), ElaborationError, "repeat needs a layer, got the number 2"),
    Row("let w = 3\nmodel m = input(3) |> «w»(3)", ElaborationError, "`w` takes no arguments: it is the number 3"),
]

ARGUMENTS = [
    Row(in_model("«dense»"), ParameterError, "missing parameter `features`", "dense(features, w_std"),
    Row(in_model("«relu»(1, 2)"), ParameterError, "relu takes at most 0 parameters, got 2"),
    Row(in_model("dense(3, «w_sd» = 1)"), ParameterError, "no parameter `w_sd`", "did you mean `w_std`?"),
    Row(in_model("dense(3, features = «4»)"), ParameterError, "`features` is given twice"),
    Row(in_model("dense(w_std = 1, «3»)"), ElaborationError, "without a name follows one with a name"),
    Row("let f(x) = dense(x)\n" + in_model("«f»"), ElaborationError, "`f` needs `x`", "f(x)"),
    Row("let f(x) = dense(x)\n" + in_model("f(1, «2»)"), ElaborationError, "takes at most 1", "f(x)"),
    Row("let f(x) = dense(x)\n" + in_model("f(«y» = 2)"), ElaborationError, "has no parameter `y`", "f(x)"),
    Row("let f(x) = dense(x)\n" + in_model("f(1, «x» = 2)"), ElaborationError, "`x` is given twice"),
    Row("model m = «input»()", ElaborationError, "got 0 arguments, expected 1 or more", "input(784, name"),
    Row("model m(«x») = input(3)", ElaborationError, "model `m` needs `x`", "-p x="),
    Row("model «m»(n = 3) = input(n)", ElaborationError, "no parameter `k`", "its parameters: n", (("k", "3"),)),
]

VALUES = [
    Row(in_model("dense(«3.5»)"), ParameterError, "features = 3.5; it should be a valid integer"),
    Row(in_model("dense(3, «-1»)"), ParameterError, "w_std = -1; it should be greater than or equal to 0"),
    Row(in_model("conv(3, 3, «0»)"), ParameterError, "stride = 0; it should be greater than or equal to 1"),
    Row(in_model("conv(3, 3, padding = «none»)"), ParameterError, "should be 'same', 'valid' or 'circular'"),
    Row(in_model("leaky_relu(«true»)"), ParameterError, "alpha = true; it should be a valid number"),
    Row(in_model("repeat(«2.5», relu)"), ParameterError, "should be a whole number from 0, got 2.5"),
    Row(in_model("«sum»()"), ParameterError, "sum needs one or more branches"),
    Row("model m = «input»(0)", ParameterError, "sizes should be positive whole numbers, got (0,)"),
    Row(in_model("dense(1 «/» 0)"), ElaborationError, "division by zero"),
    Row(in_model("dense(1 «//» 0)"), ElaborationError, "division by zero"),
    Row(in_model("dense(0 «**» -1)"), ElaborationError, "division by zero"),
    Row(in_model("dense((-1) «**» 0.5)"), ElaborationError, "not a real number"),
    Row(in_model("dense(«sqrt»(-1))"), ElaborationError, "sqrt(-1) is not a real number"),
    Row(in_model("dense(10 «**» 20)"), LimitError, "the largest whole number"),
    Row(in_model("dense(2 «**» 99999999)"), LimitError, "the largest whole number"),
    Row(in_model("dense(1e300 «*» 1e300)"), LimitError, "not a finite number"),
]

MEANING = [
    Row(
        in_model("conv(3, «9», padding = valid)"), ShapeError, "kernel 9x9 is larger than its input 8x8", "padding=same"
    ),
    Row(in_model("conv(3, «(3, 3, 3)»)"), ShapeError, "kernel has 3 axes, its input has 2"),
    Row(in_model("flatten |> «conv»(3, 3)"), ShapeError, "no spatial axes", "use dense"),
    Row(in_model("index(«(8, 0)»)"), ShapeError, "(8, 0) is not a position of its input"),
    Row(in_model("«sum»(dense(2), dense(3))"), ShapeError, "branches differ in shape"),
    Row(in_model("«relu»"), NotGaussianError, "not Gaussian", "put dense or conv"),
    Row(in_model("dense(3) |> relu |> «erf»"), NotGaussianError, "not Gaussian"),
    Row(in_model("dense(3) |> «sum»(identity, scale(2.0))"), DependenceError, "branches 1 and 2 are not independent"),
    Row(in_model("dense(3) |> «product»(relu, relu)"), DependenceError, "not independent"),
    Row(
        in_model("«sum»(dense(3) |> relu, dense(3) |> relu)"),
        UnsupportedError,
        "2 of its branches have a mean",
        "but one",
    ),
    Row("model m = «input»(1, 2, 3, 4, 5)", LimitError, "4 spatial axes; at most 3"),
    Row(in_model("repeat(«1000000», identity)"), LimitError, "1000000 ops; at most 100000"),
]

ROWS = [*SYNTAX, *NAMES, *TYPES, *ARGUMENTS, *VALUES, *MEANING]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.text)
def test_mistakes(row: Row) -> None:
    """Protects every message of the language: class, words, place and suggestion."""
    start = row.text.find("«")
    text = row.text.replace("«", "").replace("»", "")
    with pytest.raises(row.error) as raised:
        read_graph(text, "m.nt", parameters=dict(row.parameters))
    error = raised.value
    assert type(error) is row.error
    assert row.message in error.message
    assert row.hint in (error.hint or "")
    assert str(error).startswith("m.nt") or error.location is None
    if start >= 0:
        assert error.location is not None
        before = text[:start]
        assert error.location.line == before.count("\n") + 1
        assert error.location.column == start - before.rfind("\n")


def test_the_message_as_a_whole() -> None:
    """Protects the layout: place, message, line, caret under the whole word, calls, hint."""
    text = "let f(c) = relu |> relu |> dense(c)\nlet g(c) = f(c)\nmodel m = input(4) |> dense(3) |> g(2)\n"
    with pytest.raises(NotGaussianError) as error:
        read_graph(text, "m.nt")
    assert str(error.value) == (
        "m.nt:1:20: error: relu: its input is not Gaussian in the limit of infinite width\n"
        "    let f(c) = relu |> relu |> dense(c)\n"
        "                       ^^^^\n"
        "  input %relu1: tensor[N,3] defined at m.nt:1:12\n"
        "  in `f`, called at m.nt:2:12\n"
        "  in `g`, called at m.nt:3:35\n"
        "  hint: put dense or conv between the layer before and relu"
    )


def test_open_parentheses_are_shown() -> None:
    """Protects the most common slip: the parenthesis that is not closed is far from where the parser stops."""
    with pytest.raises(ParseError) as error:
        read_graph("let a = f(1, # a comment with )\n  g(2)\nmodel m = input(3)", "m.nt")
    assert "`(` at line 1, column 10 is not closed" in error.value.notes


def test_mistakes_in_parameters_name_the_option() -> None:
    """Protects -p: the place is in the option, not in the file."""
    for value, message in (("3 +", "-p n:1:3: error: the file ends here"), ("relx", "-p n:1:1: error: unknown name")):
        with pytest.raises(NtcError) as error:
            read_graph("model m(n = 3) = input(n)", "m.nt", parameters={"n": value})
        assert str(error.value).startswith(message)


def test_long_chains_of_calls_are_cut() -> None:
    """Protects the reader: of many calls the innermost are shown."""
    calls = "\n".join(f"let f{i + 1}(x) = f{i}(x)" for i in range(20))
    with pytest.raises(ElaborationError) as error:
        read_graph(f"let f0(x) = x + relu\n{calls}\nmodel m = input(f20(1))", "m.nt")
    assert len(error.value.notes) == 6
    assert error.value.notes[-1] == "... and 16 more"


def test_files_that_are_not_text(tmp_path: Path) -> None:
    """Protects against other files: bytes that are not UTF-8, and files beyond the limit."""
    path = tmp_path / "m.nt"
    path.write_bytes(b"model m = \xff\xfe")
    with pytest.raises(InputError, match="not UTF-8 text"):
        load_graph(path)
    path.write_bytes(b"#" * (2**20 + 1))
    with pytest.raises(LimitError, match="longer than 1048576 bytes"):
        load_graph(path)


MEANT: dict[str, str] = {
    "input(3) |> dense(4) |> Relu": "did you mean `relu`?",
    "input(3) |> dense(4) |> ReLU |> dense(1)": "did you mean `relu`?",
    "input(8, 3) |> conv(4, 3, padding = SAME)": "did you mean `same`?",
    "input(3) |> dense(4, w_var = 2)": "scales are standard deviations: w_std = sqrt(variance)",
    "input(3) |> dense(4, w_std = √2)": "a root is written sqrt(2)",
    "input(3) |> output(“a”) |> dense(1)": "these are typographic quotes",
    "input(3) >> dense(4)": "layers are joined with |>",
    "input(3) -> dense(4)": "layers are joined with |>",
    "input(3) |> Linear(4)": "did you mean `dense`?",
    "input(8, 3) |> conv(4, kernel_size = 3)": "did you mean `kernel`?",
    "input(8, 3) |> conv2d(4, 3)": "did you mean `conv`?",
    "input(8, 3) |> dense(4) |> self_attention(4, 4, 4, 2, mechanism = dot)": "mechanism is one of softmax, linear",
    "input(3) |> dense(4) |> sum(dense(4) |> relu, identity) |> relu": "put it into the branches of the sum",
}
"""What people write who know other libraries, and what they are told."""


@pytest.mark.parametrize("body", MEANT)
def test_what_was_meant_is_said(body: str) -> None:
    """Protects whoever comes from elsewhere: names in other cases and of other libraries, mathematical and typographic
    signs, words that a parameter takes, the order of residual blocks."""
    with pytest.raises(NtcError) as caught:
        read_graph(f"model m =\n  {body}")
    assert MEANT[body] in str(caught.value.hint)
    assert caught.value.location is not None


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("n = 3\nmodel m = input(n)", "let n = ..."),
        ("import numpy\nmodel m = input(3)", "a model file has no imports"),
        ("def m():\n  return 3", "model name(n = 3) = ..."),
    ],
)
def test_what_is_no_definition_is_explained(text: str, hint: str) -> None:
    """Protects whoever writes Python in a model file."""
    with pytest.raises(ParseError) as caught:
        read_graph(text)
    assert hint in str(caught.value.hint)


class Module:
    """Stands for a module of PyTorch, which is recognised by where its class is from."""

    __module__ = "torch.nn.modules.module"


@pytest.mark.parametrize(
    ("network", "hint"),
    [
        ("model m = input(3) |> dense(1)", "ntc.build(ntc.read_graph(text))"),
        ("net.nt", "ntc.build(ntc.load_graph('net.nt'))"),
        (nn.dense(3) >> nn.relu(), "nn.input(8, 8, 1) >> ..."),
        (Module(), "ntc.from_torch(module, x)"),
        (len, "ntc.from_jax(f, params, x)"),
        (3, "ntc.load_graph(path)"),
    ],
)
def test_what_is_no_network_is_refused(network: Any, hint: str) -> None:
    """Protects `ntc.build`: text, paths, layers without an input, modules are refused with what makes a network of
    them; kernels may be a word."""
    with pytest.raises(InputError) as caught:
        ntc.build(network)
    assert hint in str(caught.value.hint)
    assert ntc.build(nn.input(3) >> nn.dense(1), kernels="ntk").kernels == ("ntk",)
    with pytest.raises(ParameterError, match="kernels should be nngp, ntk or both"):
        ntc.build(nn.input(3) >> nn.dense(1), kernels="both")  # type: ignore[arg-type]
