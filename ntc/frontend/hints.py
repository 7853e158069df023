"""What was probably meant, where a model file is not of the language."""

from __future__ import annotations

import re

CHARACTERS = {
    '"': "a name in quotes ends on the line on which it begins",
    "'": 'names are written in double quotes: output("features"); words without: padding = same',
    "[": "a tuple is written (3, 3)",
    "|": "layers are joined with |>",
    "!": "not equal is !=, negation is `not`",
    "\u00a0": "this is a no-break space; write an ordinary one",
    "\u221a": "a root is written sqrt(2)",
    "\u03c0": "write pi as a number, 3.14159",
    "\u00d7": "a product is written 2 * 3",
    "\u00b7": "a product is written 2 * 3",
    "\u2212": "this is a typographic minus sign; write -",
    "\u2013": "this is a dash; write -",
    "\u00b2": "a square is written x ** 2",
    "\u2192": "layers are joined with |>",
    ";": "a definition ends where the next begins; layers are joined with |>",
    "{": "a tuple is written (3, 3), a group (a |> b)",
    **dict.fromkeys("\u201c\u201d\u201e", 'these are typographic quotes; write "'),
    **dict.fromkeys("\u2018\u2019", "these are typographic quotes; names are written in double quotes"),
}
"""By a character that is in no word or sign of the language."""

_BEGINNINGS = {
    **dict.fromkeys(("import", "from"), "a model file has no imports; its layers are there"),
    **dict.fromkeys(("def", "class", "function", "fn"), "a model or function is written: model name(n = 3) = ..."),
    **dict.fromkeys(("return",), "a definition is its value: model net = input(3) |> dense(1)"),
    **dict.fromkeys(("for", "while"), "blocks are repeated with repeat(n, layer)"),
}
"""By a word at a place where it means nothing."""


def of_token(text: str, token: str, offset: int) -> str | None:
    """What to write in place of a token that is not expected at this offset of the text."""
    if token in _BEGINNINGS:
        return _BEGINNINGS[token]
    before, after = text[:offset], text[offset + len(token) :]
    if token == ">" and before.endswith((">", "-")):
        return "layers are joined with |>"
    begins_a_line = not before.rpartition("\n")[2].strip()
    if begins_a_line and re.fullmatch(r"[A-Za-z_]\w*", token) and re.match(r"\s*=(?!=)", after):
        return f"a value with a name is written: let {token} = ..."
    return None
