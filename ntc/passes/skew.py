"""Skewed layout: the modulus of every spatial axis, so that filters keep residues of offsets apart."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import ClassVar

from ntc.ir.graph import Graph, Node, kernel_op
from ntc.ir.op import covariance
from ntc.ir.schema import frozen
from ntc.passes.base import Pass
from ntc.passes.rewrite import rewrite


@dataclass(frozen=True)
class _Scale:
    """A value's modulus along one axis is `factor` times that of its group."""

    group: int
    factor: int


@frozen
class Skew(Pass):
    """Needs: tracked types. Does: chooses the modulus of every spatial axis of every value. Leaves: below a filter of
    stride s, s times the modulus above it, so that residue r above reads residue s r below; the same modulus through
    pointwise ops; never less than the size. Where a value has two readers that disagree, the later one decides, and
    the other reads entry by entry.
    """

    name: ClassVar[str] = "skew"

    def __call__(self, graph: Graph) -> Graph:
        """The graph with new types."""
        axes = max((len(covariance(node.type).spatial) for node in graph.nodes), default=0)
        moduli = [_moduli(graph, axis) for axis in range(axes)]

        def rule(node: Node) -> Node:
            type_ = covariance(node.type)
            chosen = tuple(moduli[axis][node.name] for axis in range(len(type_.spatial)))
            return replace(node, type=type_.with_moduli(chosen))

        return rewrite(graph, rule)


def _moduli(graph: Graph, axis: int) -> Mapping[str, int]:
    scales = _scales(graph, axis)
    units: dict[int, int] = {}
    for name, scale in scales.items():
        size = graph.covariance_of(name).spatial[axis]
        units[scale.group] = max(units.get(scale.group, 1), -(-size // scale.factor))
    return {name: scale.factor * units[scale.group] for name, scale in scales.items()}


def _scales(graph: Graph, axis: int) -> Mapping[str, _Scale]:
    """Backward: a value belongs to the group of its last reader, if that keeps residues apart, else to its own."""
    scales: dict[str, _Scale] = {}
    for number, node in enumerate(reversed(graph.nodes)):
        if len(covariance(node.type).spatial) <= axis:
            continue
        own = scales.setdefault(node.name, _Scale(number, 1))
        stride = _stride(graph, node, axis)
        for operand in node.operands if stride else ():
            scales.setdefault(operand, _Scale(own.group, own.factor * stride))
    return {name: scale for name, scale in scales.items() if name in graph.definitions}


def _stride(graph: Graph, node: Node, axis: int) -> int:
    """By what the operands' moduli exceed the result's; 0 if they have nothing to do with each other."""
    spatial = next((x.spatial for x in graph.covariances(node.operands)), ())
    slides = kernel_op(node).slides(spatial)
    if slides is None:
        return 0
    sliding = slides[axis]
    return 1 if sliding is None else sliding.stride
