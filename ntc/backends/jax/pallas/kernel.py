"""A stage as one kernel."""

from __future__ import annotations

from math import prod

import jax

from ntc.backends.jax.emit.lane_array import Block, Lanes
from ntc.backends.jax.emit.scope import Scope
from ntc.backends.jax.pallas.body import Body
from ntc.backends.jax.pallas.chip import Chip, Grid, Result
from ntc.backends.jax.pallas.gpu import Gpu
from ntc.backends.jax.pallas.tables import Tables
from ntc.backends.jax.pallas.tpu import Tpu
from ntc.ir.graph import Graph, Node
from ntc.ir.op import covariance
from ntc.plan import Fused, Stage
from ntc.plan.planes import Plane

CHIPS: dict[str, type[Chip]] = {"cuda": Gpu, "tpu": Tpu}


def run_fused(graph: Graph, stage: Stage, fused: Fused, scope: Scope, interpret: bool = False) -> dict[str, Block]:
    """The values of a stage that outlive it, of all examples and lanes of the scope, which has values of other stages.

    With `interpret`, the kernel runs on any device, slowly.
    """
    lanes = max(covariance(node.type).row_lanes for node in stage.nodes if covariance(node.type).spatial)
    grid = Grid(scope.rows, stage.rows, lanes * scope.columns, fused.fast.rows, fused.entries)
    chip = CHIPS[scope.context.boundary.target](grid, fused, interpret)
    tables = Tables(graph, stage, chip, scope)
    tables.fill(fused)
    results = {name: _result(graph, stage, chip, name) for name in stage.kept}
    body = Body(graph, stage, fused, chip, tables, results)
    planes = [chip.scratch(_pool_shape(plane, count, chip)) for plane, count in fused.memory.pools]
    arrays = chip.call(body, list(tables.operands.values()), list(results.values()), planes)
    return {
        name: _finished(graph, stage, scope, name, result.finish(x))
        for (name, result), x in zip(results.items(), arrays, strict=True)
    }


def _pool_shape(plane: Plane, count: int, chip: Chip) -> tuple[int, ...]:
    """(planes, positions of an axis over its stride, its residues, ..., entries)."""
    axes = [n for size, s in zip(plane.extents, plane.strides, strict=True) for n in (size // s, s)]
    return (count, *axes, *chip.tail)


def _result(graph: Graph, stage: Stage, chip: Chip, name: str) -> Result:
    node: Node = graph.definitions[name]
    if node in stage.readouts:
        return chip.summed(graph.covariance_of(node.operands[0]).spatial)
    return chip.stored(covariance(node.type).spatial)


def _finished(graph: Graph, stage: Stage, scope: Scope, name: str, x: jax.Array) -> Block:
    """The block of a value, from (*positions, rows, lane rows, entries); or of a readout, from sums (rows, entries)."""
    node = graph.definitions[name]
    type_ = covariance(node.type)
    if node not in stage.readouts:
        return Block(x.reshape(*type_.spatial, scope.rows, -1), Lanes(type_), scope.columns)
    below = graph.covariance_of(node.operands[0])
    total, size = x.reshape(scope.rows, -1, scope.columns).sum(1), prod(below.spatial)
    reduction = node.op.reduction  # type: ignore[attr-defined]
    scale = {"sum": 1.0, "trace": 1 / size, "mean": 1 / size**2}[reduction]
    return Block(total * scale, Lanes(type_), scope.columns)
