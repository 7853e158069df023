"""Weights along positions."""

from __future__ import annotations

from ntc.importing.graph import Node
from ntc.importing.layout import Atoms
from ntc.importing.problems import NotRecognisedError
from ntc.importing.recogniser import Recogniser
from ntc.importing.values import Data, Source


def along_positions(
    recogniser: Recogniser, node: Node, data: Data, summed: dict[object, Atoms], source: Source
) -> Data:
    """A product over positions that leaves the channels as they are."""
    raise NotRecognisedError(
        "a product over positions or a part of the channels",
        "weights that are shared by channels make them dependent",
        "a dense layer over channels, or a convolution",
    )
