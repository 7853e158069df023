"""The text of a plan: every loop, and how every value in it is held."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from ntc.ir.graph import Node
from ntc.ir.op import covariance
from ntc.ir.types import Target
from ntc.plan.fused import Fused
from ntc.plan.holding import Holding
from ntc.plan.marginals import Marginals
from ntc.plan.margins import Margins
from ntc.plan.plan import Plan, StagePlan
from ntc.plan.rolling import Item, Run, unrolled
from ntc.plan.sweeps import Sweep


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
    if planned.fused is not None:
        yield f"stage {number} in one kernel: {_fast(planned.fused)} {{"
        yield from _indented(_parts(planned.fused))
        yield f"}} writes {_names(stage.kept)}"
        return
    why = f", as {planned.reason}" if planned.reason and stage.spatial else ""
    yield f"stage {number}{_loops(plan, planned)}{why} {{"
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


def _fast(fused: Fused) -> str:
    """What a kernel holds at a time."""
    count = sum(number for _, number in fused.memory.pools)
    rows = f"{fused.fast.rows} rows by " if fused.fast.rows > 1 else ""
    entries = f"{rows}{fused.entries} entries of a row of lanes"
    return f"{entries}, all positions, {count} planes of {fused.bytes / 2**10:.4g} KiB"


def _parts(fused: Fused) -> Iterator[str]:
    """The sweeps of a kernel, in order."""
    if fused.memory.loaded:
        yield f"load {_names(list(dict.fromkeys(name for name, _ in fused.memory.loaded)))}"
    for number, part in enumerate(fused.parts):
        if isinstance(part, Sweep):
            yield from _sweep(fused, part)
            continue
        if copied := fused.memory.copied.get(number):
            yield f"copy {_names(list(dict.fromkeys(name for name, _ in copied)))}"
        carried = _names([part.run.block[i].name for i in part.run.carried])
        yield f"repeat {len(part.run.blocks)} times, handing on {carried} {{"
        for sweep in part.sweeps:
            yield from _indented(_sweep(fused, sweep))
        yield "}"


def _sweep(fused: Fused, sweep: Sweep) -> Iterator[str]:
    count = fused.strip(sweep.spatial)
    yield f"sweep over {'x'.join(map(str, sweep.spatial))}, {count} {'row' if count == 1 else 'rows'} at a time {{"
    lines = [(_planes(fused, node.name), node) for node in sweep.nodes]
    width = max(len(where) for where, _ in lines)
    for where, node in lines:
        operands = ", ".join(f"%{x}" for x in node.operands)
        yield f"  {where:{width}} %{node.name} = {node.op.name}({operands})"
    yield "}"


def _planes(fused: Fused, name: str) -> str:
    """Where a value is put: into which planes of which pool."""
    places = [place for (known, _), place in fused.memory.places.items() if known == name]
    named = [f"plane {'|'.join(f'{place.pool}.{slot}' for slot in place.slots)}" for place in places]
    return " ".join(named) or "passing"


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
