"""Words that parameters of layers take, as enumerations: a member may stand for its name."""

from __future__ import annotations

from enum import Enum


class Padding(Enum):
    """What a filter reads outside the image: nothing is there, zeros, or the other side."""

    CIRCULAR = "CIRCULAR"
    SAME = "SAME"
    VALID = "VALID"


class AggregateImplementation(Enum):
    """What a pattern is: an adjacency matrix, or a list of edges."""

    DENSE = "DENSE"
    SPARSE = "SPARSE"


class AttentionMechanism(Enum):
    """What becomes of scores of attention."""

    SOFTMAX = "SOFTMAX"
    IDENTITY = "IDENTITY"
    ABS = "ABS"
    RELU = "RELU"


class PositionalEmbedding(Enum):
    """How embeddings of positions enter attention."""

    NONE = "NONE"
    SUM = "SUM"
    CONCAT = "CONCAT"
