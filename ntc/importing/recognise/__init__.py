"""The rules by which operations of a traced function are ops of a network: one family, one file."""

from __future__ import annotations

from collections.abc import Mapping

from ntc.importing.recognise.conv import conv
from ntc.importing.recognise.dense import dot
from ntc.importing.recognise.join import concatenate, join
from ntc.importing.recognise.nonlinearity import nonlinearity
from ntc.importing.recognise.norm import norm, softmax, total
from ntc.importing.recognise.pooling import reduction, window_max, window_sum
from ntc.importing.recognise.shape import pad, rearranged, slice_, split, stopped
from ntc.importing.recognise.steps import step
from ntc.importing.recogniser import Rule

HARD: Mapping[str, Rule] = {
    "dot_general": dot,
    "conv_general_dilated": conv,
    "reduce_window_sum": window_sum,
    "reduce_window_max": window_max,
    "concatenate": concatenate,
    "slice": slice_,
    "pad": pad,
    "split": split,
    "join": join,
    "step": step,
    "positions": reduction,
}
"""By the primitive; `join` is arithmetic of several values, `step` that of a value and an array,
`positions` a reduction over spatial axes alone."""

SOFT: tuple[Rule, ...] = (rearranged, stopped, nonlinearity, reduction, norm, softmax, total)
"""What soft steps may be together, in the order in which they are tried."""
