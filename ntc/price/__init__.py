"""What a computation costs before it is run: counts of work, rates of devices, and their product. Without JAX."""

from __future__ import annotations

from ntc.price.budget import largest
from ntc.price.cost import Cost, LayerPrice, TilePrice, price, tile_price
from ntc.price.rates import ACCELERATORS, Rates
from ntc.price.store import known_rates, read_rates, write_rates

__all__ = [
    "ACCELERATORS",
    "Cost",
    "LayerPrice",
    "Rates",
    "TilePrice",
    "known_rates",
    "largest",
    "price",
    "read_rates",
    "tile_price",
    "write_rates",
]
