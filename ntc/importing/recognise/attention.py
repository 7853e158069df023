"""Self-attention."""

from __future__ import annotations

from ntc.importing.graph import Node
from ntc.importing.problems import NotRecognisedError
from ntc.importing.recogniser import Recogniser
from ntc.importing.values import Data


def product(recogniser: Recogniser, node: Node) -> Data:
    """A product of two values of the network."""
    raise NotRecognisedError(
        "a product of two values of the network",
        "only self-attention multiplies values of one layer over positions or channels",
        "self-attention with scores divided by the number of key channels",
    )
