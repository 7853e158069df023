"""What a pass is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

from ntc.ir.graph import Graph


class Pass(ABC):
    """A pure function from graph to graph. Its fields are its options; equal graphs give equal graphs.

    Docstrings say what a pass needs, does and leaves.
    """

    name: ClassVar[str]

    @abstractmethod
    def __call__(self, graph: Graph) -> Graph:
        """The graph after the pass."""
