"""What notebooks show of a program."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape

from ntc.errors import NtcError
from ntc.ir.graph import Graph
from ntc.ir.types import Between, Target
from ntc.picture.page import page
from ntc.price.store import known_rates

_STYLE = "width: 100%; height: 420px; border: 1px solid #8884"


class PageInNotebooks:
    """A program, which notebooks show as the page of its graphs; one of finite networks only as that of its layers."""

    network: Graph
    graphs: Mapping[Between, Graph]
    target: Target

    def _repr_html_(self) -> str:
        named = f"<p><code>{escape(repr(self))}</code></p>"
        try:
            text = page(self.network, self.graphs["cross"], known_rates(self.target))
        except NtcError:  # there are no kernels, or nothing is known of the device
            return named + self.network._repr_html_()
        return f'{named}<iframe srcdoc="{escape(text)}" style="{_STYLE}"></iframe>'
