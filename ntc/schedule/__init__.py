"""How a kernel graph is run: which values are computed together, in which loops. Pure analysis, without JAX."""

from __future__ import annotations

from ntc.schedule.chunk import CHUNK_BYTES, Chunk
from ntc.schedule.groups import Group, is_cross, schedule
from ntc.schedule.rolling import Item, Run, roll

__all__ = ["CHUNK_BYTES", "Chunk", "Group", "Item", "Run", "is_cross", "roll", "schedule"]
