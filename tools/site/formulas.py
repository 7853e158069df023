"""Docstrings of layers as HTML: formulas are typeset, prose is paragraphs."""

from __future__ import annotations

import html
import re
from itertools import groupby

_FORMULA = re.compile(
    r"^(?:\s+|(?:ntk|standard): +)?(?:[A-Za-z][\w']*|E\[[^\]]*\]|cos theta)(?:\[[^\]]*\]|\([^)]*\))?\s+[=~] "
)
_LETTERS = {
    "phi": "φ", "theta": "θ", "pi": "π", "rho": "ρ", "sigma": "σ", "gamma": "γ", "alpha": "α", "eta": "η", "eps": "ε",
    "epsilon": "ε", "delta": "δ", "beta": "β", "mu": "μ", "infinity": "∞",
}  # fmt: skip
_SIGNS = (("-&gt;", "→"), ("&lt;=", "≤"), ("&gt;=", "≥"), (" * ", " · "), ("E[", "𝔼["), ("sqrt(", "√("), (" - ", " − "))


def page_text(docstring: str) -> str:
    """HTML of a docstring: what it says of the layer, its formulas, source and parameters."""
    parts = []
    docstring = re.sub(r"(?<=\S) (?=Source:)", "\n", docstring)
    for paragraph in docstring.split("\n\n"):
        for is_formula, lines in groupby(paragraph.split("\n"), key=_is_formula):
            text = "\n".join(lines)
            parts.append(f'<div class="formula">{typeset(text)}</div>' if is_formula else f"<p>{_prose(text)}</p>")
    return "\n".join(parts)


def typeset(text: str) -> str:
    """HTML of formulas in the notation of docstrings, `w_std^2`, `sqrt(pi)`, `sum over a of K[p + a]`, and of code."""
    parts = text.split("`")
    return "".join(f"<code>{html.escape(x)}</code>" if i % 2 else _typeset(x) for i, x in enumerate(parts))


def _typeset(text: str) -> str:
    text = html.escape(text, quote=False)
    for plain, sign in _SIGNS:
        text = text.replace(plain, sign)
    text = re.sub(r"\bsum over (?:taps |heads and positions |vertices )?([\w, ']+?) of ", r"∑<sub>\1</sub> ", text)
    text = re.sub(rf"\b({'|'.join(_LETTERS)})\b", lambda found: _LETTERS[found[0]], text)
    text = re.sub(r"\^(\d+|\w|\([^()]*\))", lambda found: f"<sup>{found[1].strip('()')}</sup>", text)
    text = re.sub(r"(?<=[A-Za-z'])_(\w+?)(?=\b|<)", r"<sub>\1</sub>", text)
    text = re.sub(r"\b([vVKTcGx])(\d)\b", r"\1<sub>\2</sub>", text)
    return re.sub(r"(?<![A-Za-z<>/])([A-Za-z]'?)(?![A-Za-z>])", r"<i>\1</i>", text)


def _is_formula(line: str) -> bool:
    return bool(_FORMULA.match(line)) or bool(re.match(r"^ {6,}\S", line))


def _prose(text: str) -> str:
    text = html.escape(" ".join(text.split()), quote=False)
    text = re.sub(r"`([^`]+)`", r"<code>\1</code>", text)
    text = re.sub(rf"\b({'|'.join(_LETTERS)})\b(?!</code>)", lambda found: _LETTERS[found[0]], text)
    text = re.sub(r"arXiv:(\d{4}\.\d{5})", r'<a href="https://arxiv.org/abs/\1">arXiv:\1</a>', text)
    return re.sub(r"\b(Source|Parameters):", r"<strong>\1:</strong>", text)
