"""Text of the language to syntax tree, with errors that a reader can act on."""

from __future__ import annotations

import re
from functools import lru_cache
from math import isfinite
from pathlib import Path
from typing import Any, cast

from lark import Lark, Token, UnexpectedInput, UnexpectedToken, v_args
from lark.exceptions import VisitError
from lark.visitors import Transformer_NonRecursive

from ntc.errors import LimitError, Location, ParseError, Source
from ntc.frontend import ast, hints

MAX_BYTES = 2**20
"""Longest model file."""

MAX_DEPTH = 200
"""Deepest nesting of expressions, and of calls."""

MAX_WORDS = 250_000
"""Most words, numbers and signs of a file, which bounds the time to read it."""

MAX_NAME = 100
"""Longest name."""

MAX_ITEMS = 100
"""Longest tuple. None is longer than the number of spatial axes, but that is for the layers to say."""

MAX_INTEGER = 2**53
"""Largest whole number: all of them up to here are floating-point numbers as well."""

_OPERATORS = ("OR", "AND", "COMPARE", "PLUS", "MINUS", "TIMES", "POWER", "_PIPE")
_BEGINNINGS = ("NUMBER", "TEXT", "NAME", "OPEN", "NOT", "IF", "MINUS")
_WORDS = {
    "LET": "`let`",
    "MODEL": "`model`",
    "EQUAL": "`=`",
    "COMMA": "`,`",
    "OPEN": "`(`",
    "RPAR": "`)`",
    "THEN": "`then`",
    "ELSE": "`else`",
    "NAME": "a name",
    "$END": "the end of the file",
}


def parse_file(source: Source) -> tuple[ast.Definition, ...]:
    """The definitions of a model file. Raises ParseError, LimitError."""
    if len(source.text.encode(errors="replace")) > MAX_BYTES:
        raise LimitError(f"{source.name} is longer than {MAX_BYTES} bytes")
    return cast(tuple[ast.Definition, ...], _parse(source, "file"))


def parse_expression(source: Source) -> ast.Expression:
    """One expression, as given with -p. Raises ParseError, LimitError."""
    return cast(ast.Expression, _parse(source, "expression"))


def _parse(source: Source, start: str) -> object:
    _check_words(source)
    try:
        return _Tree(source).transform(_parser().parse(source.text, start))
    except UnexpectedInput as error:
        raise _syntax_error(source, error) from None
    except VisitError as error:
        raise error.orig_exc from None


_WORD = re.compile(r"#[^\n]*|[\w.]+|\|>|\*\*|//|[<>=!]=|\S")


def _check_words(source: Source) -> None:
    count = 0
    for match in _WORD.finditer(source.text):
        count += match[0][0] != "#"
        if count > MAX_WORDS:
            raise LimitError(f"more than {MAX_WORDS} words and signs", _location(source, match.start()))


@lru_cache
def _parser() -> Lark:
    grammar = Path(__file__).with_name("grammar.lark").read_text()
    return Lark(grammar, parser="lalr", lexer="basic", maybe_placeholders=True, start=["file", "expression"])


@v_args(inline=True)
class _Tree(Transformer_NonRecursive[Token, Any]):
    """One method per rule of the grammar. Without recursion, so that no input nests too deep for Python."""

    def __init__(self, source: Source) -> None:
        super().__init__()
        self._source = source

    def _at(self, token: Token) -> Location:
        return Location(self._source, token.line or 1, token.column or 1, len(token))

    def _word(self, token: Token) -> str:
        if len(token) > MAX_NAME:
            raise LimitError(f"a name has at most {MAX_NAME} characters", self._at(token))
        return str(token)

    def _checked(self, expression: ast.Expression) -> ast.Expression:
        if expression.depth > MAX_DEPTH:
            raise LimitError(
                f"expressions are nested more than {MAX_DEPTH} deep",
                expression.at,
                hint="name the inner parts with `let`",
            )
        return expression

    def file(self, *definitions: ast.Definition) -> tuple[ast.Definition, ...]:
        return definitions

    def definition(self, kind: Token, name: Token, parameters: Any, body: ast.Expression) -> ast.Definition:
        return ast.Definition(str(kind), self._word(name), parameters, body, self._at(name))

    def parameters(self, *items: ast.Parameter | None) -> tuple[ast.Parameter, ...]:
        return tuple(item for item in items if item is not None)

    def parameter(self, name: Token, default: ast.Expression | None) -> ast.Parameter:
        return ast.Parameter(self._word(name), default, self._at(name))

    def conditional(self, condition: ast.Expression, yes: ast.Expression, no: ast.Expression) -> ast.Expression:
        return self._checked(ast.Conditional(condition.at, condition, yes, no))

    def pipe(self, *parts: ast.Expression) -> ast.Expression:
        return self._checked(ast.Pipe(parts[0].at, parts))

    def either(self, first: ast.Expression, *rest: Any) -> ast.Expression:
        pairs = zip(rest[::2], rest[1::2], strict=True)
        operations = tuple(ast.Operation(str(token), operand, self._at(token)) for token, operand in pairs)
        return self._checked(ast.Chain(first.at, first, operations))

    both = comparison = addition = multiplication = power = either

    def unary(self, operator: Token, operand: ast.Expression) -> ast.Expression:
        return self._checked(ast.Unary(self._at(operator), str(operator), operand))

    def number(self, token: Token) -> ast.Expression:
        text, at = str(token), self._at(token)
        if text.isdigit():
            if len(text) > 16 or int(text) > MAX_INTEGER:
                raise LimitError(f"a whole number is at most {MAX_INTEGER}", at)
            return ast.Number(at, int(text))
        if len(text) > 100 or not isfinite(float(text)):
            raise LimitError("a number has at most 100 digits and is at most 1.8e308", at)
        return ast.Number(at, float(text))

    def text(self, token: Token) -> ast.Expression:
        if len(token) > MAX_NAME + 2:
            raise LimitError(f"a name has at most {MAX_NAME} characters", self._at(token))
        return ast.Text(self._at(token), str(token)[1:-1])

    def name(self, name: Token) -> ast.Expression:
        return ast.Name(self._at(name), self._word(name))

    def call(self, name: Token, arguments: tuple[ast.Argument, ...]) -> ast.Expression:
        return self._checked(ast.Call(self._at(name), self._word(name), arguments))

    def arguments(self, *items: ast.Argument | None) -> tuple[ast.Argument, ...]:
        return tuple(item for item in items if item is not None)

    def argument(self, name: Token | None, value: ast.Expression) -> ast.Argument:
        if name is None:
            return ast.Argument(None, value, value.at)
        return ast.Argument(self._word(name), value, self._at(name))

    def row(self, parenthesis: Token, *items: ast.Expression) -> ast.Expression:
        if len(items) > MAX_ITEMS:
            raise LimitError(f"a tuple has at most {MAX_ITEMS} items, got {len(items)}", self._at(parenthesis))
        return self._checked(ast.Tuple(self._at(parenthesis), items))


def _syntax_error(source: Source, error: UnexpectedInput) -> ParseError:
    if isinstance(error, UnexpectedToken):
        return _unexpected_token(source, error)
    character = source.text[error.pos_in_stream or 0]
    location = Location(source, error.line, error.column)
    return ParseError(f"{character!r} is not expected here", location, hint=hints.CHARACTERS.get(character))


def _unexpected_token(source: Source, error: UnexpectedToken) -> ParseError:
    """What was found, what could have stood there, and a parenthesis that is still open."""
    if error.token.type == "$END":
        location, found, offset = _end(source), "the file ends here", len(source.text)
    else:
        location = Location(source, error.line, error.column, len(error.token))
        found, offset = f"`{_short(error.token)}` is not expected here", error.pos_in_stream or 0
    expected = _expected(set(error.accepts or error.expected))
    opened = _open_parenthesis(source, offset)
    notes = (f"`(` at line {opened.line}, column {opened.column} is not closed",) if opened else ()
    hint = hints.of_token(source.text, str(error.token), offset)
    return ParseError(f"{found}, expected {expected}" if expected else found, location, hint=hint, notes=notes)


def _expected(terminals: set[str]) -> str:
    words = []
    if terminals.issuperset(_BEGINNINGS[:4]):
        words.append("a value")
        terminals = terminals.difference(_BEGINNINGS)
    if terminals.issuperset(("PLUS", "TIMES")):
        words.append("an operator")
        terminals = terminals.difference(_OPERATORS, ["OPEN"])
    words += [_WORDS[name] for name in sorted(terminals, key=list(_WORDS).index)]
    return " or ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


def _end(source: Source) -> Location:
    """The last character that is not space."""
    text = source.text.rstrip()
    return Location(source, text.count("\n") + 1, max(1, len(text) - text.rfind("\n") - 1))


def _open_parenthesis(source: Source, end: int) -> Location | None:
    """The last parenthesis before the offset `end` that nothing closes."""
    opened: list[int] = []
    for match in re.finditer(r"#[^\n]*|[()]", source.text[:end]):
        if match[0] == "(":
            opened.append(match.start())
        elif match[0] == ")" and opened:
            opened.pop()
    if not opened:
        return None
    return _location(source, opened[-1])


def _location(source: Source, offset: int) -> Location:
    before = source.text[:offset]
    return Location(source, before.count("\n") + 1, len(before) - before.rfind("\n"))


def _short(token: str) -> str:
    return token if len(token) <= 40 else f"{token[:37]}..."
