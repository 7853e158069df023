"""Any text ends in a network or a message: limits, hostile files, and random ones."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ntc.errors import ElaborationError, LimitError, NtcError, ParseError
from ntc.frontend.elaborate import read_graph
from ntc.ir.graph import Graph
from ntc.ir.ops import TENSOR_OPS

EXAMPLES = {path.name: path.read_text() for path in (Path(__file__).parents[1] / "examples").glob("*.nt")}


def doubling(first: str, step: str, last: str) -> str:
    """a0 = first, and sixty definitions each of which uses the one before it twice."""
    steps = "\n".join(f"let a{i + 1}{step.replace('@', f'a{i}')}" for i in range(60))
    return f"let a0{first}\n{steps}\nmodel m = input(3) |> {last.replace('@', 'a60')}"


def chain_of_calls(length: int) -> str:
    calls = "\n".join(f"let f{i + 1}(x) = f{i}(x)" for i in range(length))
    return f"let f0(x) = dense(x)\n{calls}\nmodel m = input(3) |> f{length}(1)"


HOSTILE: dict[str, tuple[str, type[NtcError], str]] = {
    "open parentheses": ("let a = " + "(" * 100_000, ParseError, "the file ends here"),
    "open calls": ("let a = " + "f(x=" * 50_000, ParseError, "the file ends here"),
    "nested tuples": ("let a = " + "(" * 300 + "1" + ",)" * 300, LimitError, "more than 200 deep"),
    "nested calls": ("let a = " + "abs(" * 300 + "1" + ")" * 300, LimitError, "more than 200 deep"),
    "signs": ("let a = " + "-" * 50_000 + "1", LimitError, "more than 200 deep"),
    "negations": ("let a = " + "not " * 50_000 + "true", LimitError, "more than 200 deep"),
    "powers": ("let a = 1" + " ** 1" * 10_000, LimitError, "more than 200 deep"),
    "conditions": ("let a = " + "if true then 1 else " * 1000 + "1", LimitError, "more than 200 deep"),
    "doubled layers": (doubling(" = identity", " = @ |> @", "@"), LimitError, "ops; at most 100000"),
    "doubled nothing": (doubling(" = repeat(0, relu)", " = @ |> @", "@"), LimitError, "ops; at most 100000"),
    "doubled branches": (doubling(" = identity", " = sum(@, @)", "@"), LimitError, "ops; at most 100000"),
    "doubled calls": (doubling("(x) = x + 1", "(x) = @(@(x))", "dense(@(1))"), LimitError, "1000000 steps"),
    "doubled tuples": (doubling(" = (1, 2)", " = (@, @)", "index(@)"), ElaborationError, "a tuple holds numbers"),
    "doubled numbers": (doubling(" = 2", " = @ * @", "dense(@)"), LimitError, "largest whole number"),
    "deep calls": (chain_of_calls(250), LimitError, "calls are nested more than 200 deep"),
    "long": ("#" * (2**20 + 1), LimitError, "longer than 1048576 bytes"),
    "a long name": ("let a = " + "x" * 500_000, LimitError, "a name has at most 100 characters"),
    "a long number": ("let a = " + "1" * 500_000, LimitError, "a whole number is at most"),
    "a long fraction": ("let a = 0." + "1" * 500_000, LimitError, "at most 100 digits"),
    "a long cycle": ("\n".join(f"let a{i} = a{(i + 1) % 5000}" for i in range(5000)), ElaborationError, "by itself"),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_hostile_files_are_refused(case: str) -> None:
    """Protects machines: no RecursionError, no exhaustion of memory or patience, but a message."""
    text, error, message = HOSTILE[case]
    with pytest.raises(error) as raised:
        read_graph(text)
    assert message in raised.value.message
    assert len(str(raised.value)) < 600_000


LARGE = {
    "a long pipe": "model m = input(3)" + " |> identity" * 20_000,
    "a long sum": "model m = input(3) |> dense(1" + " + 1" * 20_000 + ")",
    "parentheses": "model m = input(3) |> " + "(" * 5_000 + "relu |> identity" + ")" * 5_000,
    "a chain of definitions": "let a0 = 1\n"
    + "\n".join(f"let a{i + 1} = a{i} + 1" for i in range(5_000))
    + "\nmodel m = input(3) |> dense(a5000)",
    "calls at the limit": chain_of_calls(199),
    "repetition at the limit": "model m = input(3) |> repeat(99999, identity)",
}


@pytest.mark.parametrize("case", LARGE)
def test_large_files_are_read(case: str) -> None:
    """Protects long but flat files: only real nesting counts as nesting."""
    text = LARGE[case].replace("relu |> identity", "identity |> identity")
    assert isinstance(read_graph(text), Graph)


def outcome(text: str) -> None:
    """Reads a text. Any exception but NtcError escapes; a message must be printable."""
    message = ""
    try:
        read_graph(text, "m.nt")
    except NtcError as error:
        message = str(error)
    assert message or "model" in text


@given(st.text(max_size=200))
def test_any_text(text: str) -> None:
    """Protects against internal errors on arbitrary characters."""
    outcome(text)


TOKENS = [
    *("let", "model", "if", "then", "else", "and", "or", "not", "true", "false", "none", "same", "center"),
    *("(", ")", ",", "=", "|>", "+", "-", "*", "/", "//", "%", "**", "<", ">", "==", "!=", "#", "\n"),
    *("0", "1", "2", "3.5", "1e9", "x", "y", "f", "input", "repeat", "sqrt", "min", *TENSOR_OPS),
]


@given(st.lists(st.sampled_from(TOKENS), max_size=40), st.booleans())
def test_any_tokens(tokens: list[str], in_model: bool) -> None:
    """Protects against internal errors on texts made of the language's own words."""
    outcome(("model m = input(4, 4, 2) |> " if in_model else "") + " ".join(tokens))


@given(st.sampled_from(sorted(EXAMPLES)), st.data())
def test_damaged_examples(name: str, data: st.DataObject) -> None:
    """Protects against internal errors on texts that are almost right."""
    text = EXAMPLES[name]
    start = data.draw(st.integers(0, len(text)))
    stop = data.draw(st.integers(start, min(len(text), start + 20)))
    insert = data.draw(st.one_of(st.just(""), st.sampled_from(TOKENS), st.text(max_size=3)))
    outcome(text[:start] + insert + text[stop:])
