"""The text of a plan: every loop, and how every value in it is held."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from ntc.ir.graph import Node
from ntc.ir.op import covariance
from ntc.ir.types import Target
from ntc.plan.holding import Holding
from ntc.plan.marginals import Marginals
from ntc.plan.margins import Margins
from ntc.plan.plan import Plan, StagePlan
from ntc.plan.rolling import Item, Run, unrolled


def show(plan: Plan) -> str:
    """One line for every value and every loop. Types and parameters are in the text of the graph."""
    lines = [f"plan @{plan.graph.name} for {plan.target}, {plan.rows} x {plan.columns} examples {{"]
    for marginals in plan.marginals:
        lines += _indented(_marginals(plan, marginals))
    for number, stage in enumerate(plan.stages, 1):
        lines += _indented(_stage(plan, number, stage))
    return "\n".join([*lines, "}"]) + "\n"


def _marginals(plan: Plan, marginals: Marginals) -> Iterator[str]:
    both = " and, beside them, those of M" if marginals.paired else ""
    yield f"marginals of examples {marginals.batch}{both} {{"
    yield from _indented(_items(marginals.items, plan.target, marginals.holdings, marginals.margins))
    yield "}"


def _stage(plan: Plan, number: int, planned: StagePlan) -> Iterator[str]:
    stage = planned.stage
    yield f"stage {number}{_loops(plan, planned)} {{"
    yield from _indented(_items(stage.items, plan.target, stage.holdings, plan.margins))
    yield f"}} keeps {_names(stage.kept)}"


def _loops(plan: Plan, planned: StagePlan) -> str:
    """The loops around a stage, outermost first."""
    stage, chunk = planned.stage, planned.chunk
    if chunk is None:
        return " whole"
    over_lanes, over_rows = planned.steps(plan.rows) if isinstance(plan.rows, int) else (stage.lanes // chunk.lanes, 0)
    loops = []
    if over_lanes > 1:
        unit = "rows of lanes" if stage.by_row else "lanes"
        total = stage.rows if stage.by_row else stage.lanes
        loops.append(f"{over_lanes} times {planned.count} of {total} {unit}")
    if over_rows != 1:
        loops.append(f"{over_rows or 'any number of'} times {chunk.rows} of {plan.rows} rows")
    if planned.tables:
        loops.append("with tables of second examples")
    return f" in loops: {', '.join(loops)}"


def _items(
    items: Iterable[Item], target: Target, holdings: Mapping[str, Holding], margins: Mapping[str, Margins]
) -> Iterator[str]:
    for item in items:
        if not isinstance(item, Run):
            yield _value(item, holdings, margins)
            continue
        carried = _names([item.block[i].name for i in item.carried])
        numbers = f", with {len(item.numbers)} numbers of its own each" if item.numbers else ""
        how = ", written out" if unrolled(item, target) else ""
        yield f"repeat {len(item.blocks)} times{how}, handing on {carried}{numbers} {{"
        yield from _indented(_value(node, holdings, margins) for node in item.block)
        yield "}"


def _value(node: Node, holdings: Mapping[str, Holding], margins: Mapping[str, Margins]) -> str:
    type_ = covariance(node.type)
    operands = ", ".join(f"%{x}" for x in node.operands)
    parts = [f"{holdings[node.name]:8} %{node.name} = {node.op.name}({operands})"]
    if type_.spatial:
        lanes = f" in {type_.lanes} lanes" if type_.lanes > 1 else ""
        parts.append("x".join(map(str, type_.spatial)) + lanes)
    if around := margins.get(node.name):
        parts.append("zeros " + " ".join(f"{before}+{after}" for before, after in around))
    return "; ".join(parts)


def _names(names: Sequence[str]) -> str:
    return ", ".join(f"%{name}" for name in names) or "nothing"


def _indented(lines: Iterable[str]) -> list[str]:
    return [f"  {line}" for line in lines]
