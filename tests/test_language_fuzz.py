"""Texts just within the limits take seconds, not minutes; random programs of every kind of expression."""

from __future__ import annotations

import random

import pytest

from ntc import nn
from ntc.errors import ElaborationError, LimitError, NtcError, ParseError
from ntc.frontend.elaborate import read_graph
from ntc.frontend.layers import MAX_BRANCHES
from ntc.frontend.parse import MAX_ITEMS, MAX_NAME, MAX_WORDS
from ntc.ir.graph import Graph
from ntc.ir.ops import TENSOR_OPS

MANY = 20_000


def numbered(text: str, count: int, separator: str = ", ") -> str:
    """`text` with @ replaced by 0, 1, ..., separated."""
    return separator.join(text.replace("@", str(i)) for i in range(count))


def chain(count: int, first: str, step: str) -> str:
    """a0 = first, and `count` definitions each of which uses the one before it, written @."""
    steps = "".join(f"let a{i + 1} = {step.replace('@', f'a{i}')}\n" for i in range(count))
    return f"let a0 = {first}\n{steps}"


LARGE = {
    "defaults": f"let f({numbered('a@ = 1', MANY)}) = 1\nmodel m = input({numbered('f', 10, ' + ')})",
    "arguments": f"let f({numbered('a@', MANY)}) = 1\nmodel m = input(f({numbered('1', MANY)}))",
    "named arguments": f"let f({numbered('a@', MANY)}) = 1\nmodel m = input(f({numbered('a@ = 1', MANY)}))",
    "parameters of the model": f"model m({numbered('a@ = 1', MANY)}) = input(a0)",
    "networks that grow": chain(5000, "input(1)", "@ |> identity") + "model m = a5000",
    "layers that grow": chain(5000, "identity", "@ |> identity") + "model m = input(1) |> a5000",
}


@pytest.mark.parametrize("case", LARGE)
def test_time_grows_with_the_text_alone(case: str) -> None:
    """Protects against quadratic time and memory: each of these took minutes, or gigabytes, when it was quadratic."""
    assert isinstance(read_graph(LARGE[case]), Graph)


LIMITS = {
    "words": ("model m = input(1" + " + 0" * (MAX_WORDS // 2) + ")", f"more than {MAX_WORDS} words and signs"),
    "name of a let": ("let «" + "a" * (MAX_NAME + 1) + " = 1", f"at most {MAX_NAME} characters"),
    "name of a parameter": ("let f(«" + "a" * (MAX_NAME + 1) + ") = 1", f"at most {MAX_NAME} characters"),
    "name of an argument": ("let f = g(«" + "a" * (MAX_NAME + 1) + " = 1)", f"at most {MAX_NAME} characters"),
    "name that is called": ("let f = «" + "a" * (MAX_NAME + 1) + "(1)", f"at most {MAX_NAME} characters"),
    "name that is read": ("let f = «" + "a" * (MAX_NAME + 1), f"at most {MAX_NAME} characters"),
    "tuple": (f"let t = «({numbered('1', MAX_ITEMS + 1)})", f"at most {MAX_ITEMS} items, got {MAX_ITEMS + 1}"),
    "branches": (
        f"model m = input(1) |> «concat({numbered('identity', MAX_BRANCHES + 1)})",
        f"at most {MAX_BRANCHES} branches",
    ),
}


@pytest.mark.parametrize("case", LIMITS)
def test_limits(case: str) -> None:
    """Protects the limits of docs/language.md that bound single expressions; `«` is where the error points."""
    text, message = LIMITS[case]
    with pytest.raises(LimitError) as error:
        read_graph(text.replace("«", ""), "m.nt")
    assert message in error.value.message
    assert error.value.location is not None
    if "«" in text:
        assert error.value.location.column == text.index("«") + 1


WITHIN = {
    "words": "model m = input(1" + " + 0" * (MAX_WORDS // 2 - 10) + ")",
    "comments do not count": "# a b c\n" * 100_000 + "model m = input(1)",
    "name": f"let {'a' * MAX_NAME} = 1\nmodel m = input({'a' * MAX_NAME})",
    "tuple": f"let t = ({numbered('1', MAX_ITEMS)})\nmodel m = input(if t == t then 1 else 2)",
    "branches": f"model m = input(1) |> concat({numbered('identity', MAX_BRANCHES)})",
}


@pytest.mark.parametrize("case", WITHIN)
def test_within_the_limits(case: str) -> None:
    """Protects texts that just fit."""
    assert isinstance(read_graph(WITHIN[case]), Graph)


def test_defaults_see_what_stands_before_them() -> None:
    """Protects scoping: a default means the same whether or not a later parameter of its name is given."""
    text = "let w = 7\nlet f(a = w, w = 2) = a\nmodel m(a = w, w = 2) = input(a + f() + f(w = 5))"
    assert read_graph(text).tensor_of("x").channels == 21
    assert read_graph(text, parameters={"w": "3"}).tensor_of("x").channels == 21


@pytest.mark.parametrize("text", ["let x = f\nlet f(x = x) = x", "let x = f\nlet f(y = x, x = 1) = y"])
def test_recursion_behind_the_name_of_a_parameter(text: str) -> None:
    """Protects against endless evaluation: a default reads the definition, not the parameter of the same name."""
    with pytest.raises(ElaborationError, match="is defined by itself"):
        read_graph(f"{text}\nmodel m = input(f)")


def test_true_is_not_one() -> None:
    """Protects comparisons: values of different kinds are different."""
    text = "model m = input(if true == 1 or false == 0 or not (true != 1) then 1 else 2)"
    assert read_graph(text).tensor_of("x").channels == 2
    assert read_graph("model m = input(if 1 == 1.0 and true == true then 1 else 2)").tensor_of("x").channels == 1


@pytest.mark.parametrize(
    ("character", "hint"), [("\u00a0", "no-break space"), ("\u0663", None), ("\u2019", None), ("\ufeff", None)]
)
def test_characters_that_look_like_others(character: str, hint: str | None) -> None:
    """Protects against text pasted from elsewhere: digits of other scripts are not numbers, spaces are not space."""
    with pytest.raises(ParseError) as error:
        read_graph(f"model m = {character}input(3)", "m.nt")
    assert str(error.value.location) == "m.nt:1:11"
    assert hint is None or hint in (error.value.hint or "")


def test_networks_are_the_same_however_they_grow() -> None:
    """Protects the grouping that keeps growth linear: it does not change the graph."""
    grown = nn.input(1)
    for _ in range(200):
        grown = grown >> nn.dense(1)
    assert len(grown.layers) < 100
    assert grown.graph("m") == (nn.input(1) >> nn.repeat(200, nn.dense(1))).graph("m")


LEAVES = [
    *("0", "1", "2", "-1", "2.5", "1e300", "true", "same", "center", "none", "(1, 2)", "(1,)", "x", "f", "g"),
    *("relu", "identity", "flatten", "global_avg_pool", "dense(x)", "conv(2, 3)", "conv(2, (x, 1), padding = valid)"),
    *("avg_pool(x)", "index((0, 0))", "erf(x, 1, -1)", "repeat(x, dense(2))", "sum(dense(2), dense(2))", "sum()"),
    *("concat(identity, relu)", "product(dense(1))", "input(x)", "f(x)", "g(1, x)", "g(x = 2)", "min(x, 2)"),
]
JOINTS = ["|>", "|>", "|>", "|>", "+", "-", "*", "/", "//", "%", "**", "<", ">=", "==", "!=", "and", "or"]
CALLED = [*TENSOR_OPS, "repeat", "input", "sqrt", "max", "f", "g", "x"]


def expression(draw: random.Random, depth: int) -> str:
    """A random expression that parses, of any type."""
    kind = draw.random() if depth else 0.0
    if kind < 0.4:
        return draw.choice(LEAVES)
    parts = [expression(draw, depth - 1) for _ in range(3)]
    if kind < 0.7:
        return f" {draw.choice(JOINTS)} ".join(parts[: draw.randint(2, 3)])
    if kind < 0.8:
        return "(if {} then {} else {})".format(*parts)
    if kind < 0.9:
        return draw.choice(["-{}", "not {}", "({})", "({}, {})", "({},)"]).format(*parts)
    names = [draw.choice(["", "", "x = ", "w_std = ", "stride = "]) for _ in parts]
    given = [name + part for name, part in zip(names, parts, strict=True)][: draw.randint(0, 3)]
    return f"{draw.choice(CALLED)}({', '.join(given)})"


def program(draw: random.Random) -> str:
    """Random definitions in which parameters hide definitions and functions call each other."""
    return (
        f"let x = {expression(draw, 1)}\n"
        f"let f(x = {expression(draw, 1)}) = {expression(draw, 2)}\n"
        f"let g(a, x = {expression(draw, 1)}) = {expression(draw, 2)}\n"
        f"model m(n = {expression(draw, 1)}) = input(4, 4, 2) |> conv(2, 3) |> {expression(draw, 3)}"
    )


def mistake(text: str) -> NtcError | None:
    """What is wrong with a text, if anything; errors of other classes escape."""
    try:
        read_graph(text, "m.nt")
    except NtcError as error:
        return error
    return None


@pytest.mark.parametrize("seed", range(4))
def test_random_programs(seed: int) -> None:
    """Protects the evaluator: expressions of every type in every place give a graph, or an error at a place."""
    draw = random.Random(seed)
    for _ in range(50):
        text = program(draw)
        error = mistake(text)
        if error is not None:
            assert error.location is not None, text
            assert "\n" not in error.message, text
            assert len(str(error)) < 5000, text
