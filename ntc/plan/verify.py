"""What is true of every plan; what a backend relies on."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from ntc.errors import VerifyError
from ntc.ir.graph import Node, kernel_op
from ntc.ir.op import covariance
from ntc.ir.platform import PLATFORMS
from ntc.plan.fused import Fused
from ntc.plan.plan import Plan, StagePlan
from ntc.plan.rolling import Item, Run
from ntc.plan.stages import Stage, is_cross
from ntc.plan.sweeps import sweeps_in, values_read

_FEWEST_ENTRIES = 32
"""Entries of a chunk that may be more bytes than a target wants: fewer fill no vector register."""


def verify(plan: Plan) -> Plan:
    """The plan, if every value is computed once, after what it reads, is held somehow, and chunks are small and cut
    evenly. Raises VerifyError, which says what is wrong and where."""
    done = {x.name for x in plan.graph.inputs}
    for marginals in plan.marginals:
        _ordered(marginals.items, done, marginals.holdings)
        done |= set(marginals.paired.values())
    for planned in plan.stages:
        _ordered(planned.stage.items, done, planned.stage.holdings)
        _cut(plan, planned)
        if planned.fused is not None:
            _near(planned.stage, planned.fused)
    missing = [x.name for x in plan.graph.nodes if x.name not in done]
    _check(not missing, f"{missing} are computed nowhere")
    kept = {name for planned in plan.stages for name in planned.stage.kept}
    lost = [x for planned in plan.stages for x in planned.stage.outside if x not in kept and _is_cross(plan, x)]
    _check(not lost, f"{lost} are read by another stage and not kept")
    return plan


def _is_cross(plan: Plan, name: str) -> bool:
    """Whether a value is between two examples."""
    return name in plan.graph.definitions and is_cross(plan.graph.definitions[name])


def _ordered(items: Iterable[Item], done: set[str], holdings: Collection[str]) -> None:
    for item in items:
        for node in item.nodes if isinstance(item, Run) else (item,):
            _once(node, done)
        for node in item.block if isinstance(item, Run) else (item,):
            _check(node.name in holdings, f"%{node.name} is held in no way")


def _once(node: Node, done: set[str]) -> None:
    _check(node.name not in done, f"%{node.name} is computed twice")
    early = [x for x in node.operands if x not in done]
    _check(not early, f"%{node.name} reads {early}, which are not computed yet")
    done.add(node.name)


def _cut(plan: Plan, planned: StagePlan) -> None:
    stage, chunk = planned.stage, planned.chunk
    if chunk is None or not isinstance(plan.rows, int) or not isinstance(plan.columns, int):
        return
    even = stage.lanes % chunk.lanes == 0 == plan.rows % chunk.rows
    _check(even, f"chunks of {chunk.lanes} lanes and {chunk.rows} rows do not fit {stage.lanes} and {plan.rows}")
    types = [covariance(node.type) for node in stage.nodes]
    widest = max(types, key=lambda x: (x.lanes, x.entries))
    entry = widest.entries // widest.lanes * widest.itemsize
    size = entry * chunk.lanes * chunk.rows * plan.columns
    least = entry * max(_FEWEST_ENTRIES, plan.columns * stage.lanes // stage.rows)
    _check(size <= max(2 * PLATFORMS[plan.target].chunk_bytes, 2 * least), f"a chunk of {size} bytes for {plan.target}")


def _near(stage: Stage, fused: Fused) -> None:
    """What a kernel reads is of the same sweep, in a plane, or of another stage; and its planes fit."""
    _check(fused.bytes <= fused.fast.bytes, f"{fused.bytes} bytes of planes, of {fused.fast.bytes}")
    for part in fused.parts:
        for sweep in sweeps_in(part):
            for node in sweep.nodes:
                for name in values_read(node):
                    filters = kernel_op(node).filters
                    held = any(key[0] == name for key in fused.memory.places)
                    here = not filters and (name in sweep.names or name in stage.outside)
                    _check(held or here, f"%{node.name} reads %{name}, which is in no plane")


def _check(holds: bool, wrong: str) -> None:
    if not holds:
        raise VerifyError(f"plan: {wrong}")
