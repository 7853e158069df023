"""How a kernel graph runs: which values are computed together, in which loops, how they are held. Without JAX."""

from __future__ import annotations

from ntc.plan.chunk import Chunk
from ntc.plan.fused import Fused
from ntc.plan.holding import Holding
from ntc.plan.marginals import Marginals, marginals_of
from ntc.plan.margins import Margins
from ntc.plan.plan import MANY_COLUMNS, KernelPath, Plan, Repeat, StagePlan, plan, repeats_of
from ntc.plan.rolling import Item, Run, roll, unrolled
from ntc.plan.stages import Stage, is_cross, stages_of

__all__ = [
    "MANY_COLUMNS",
    "Chunk",
    "Fused",
    "Holding",
    "Item",
    "KernelPath",
    "Marginals",
    "Margins",
    "Plan",
    "Repeat",
    "Run",
    "Stage",
    "StagePlan",
    "is_cross",
    "marginals_of",
    "plan",
    "repeats_of",
    "roll",
    "stages_of",
    "unrolled",
]
