"""The page: the template with the data of one program in it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from importlib.resources import files
from typing import Any

from ntc.ir.graph import Graph, Node
from ntc.picture.rows import kernel_row, layer_row, view
from ntc.plan import plan, repeats_of, roll
from ntc.plan.explain import Explanation, explain, layer_of
from ntc.price.rates import Rates
from ntc.price.work import value_work

EXAMPLES = 64
"""Sides of the tile whose time is shared out."""

_MARK = "/* DATA */"


def page(network: Graph, kernels: Graph, rates: Rates) -> str:
    """One self-contained page of HTML: every layer of a network and every value of its kernel graph.

    Args:
      network: the tensor graph.
      kernels: the optimised kernel graph between two inputs.
      rates: seconds per unit of work, of which the shares of time are computed.
    """
    text = json.dumps(data(network, kernels, rates), ensure_ascii=False)
    template = (files("ntc.picture") / "page.html").read_text(encoding="utf-8")
    return template.replace(_MARK, text.replace("<", "\\u003c"))  # so that no text ends the script


def data(network: Graph, kernels: Graph, rates: Rates) -> dict[str, Any]:
    """What the page shows."""
    nodes, repeats = plan(kernels, rates.target, EXAMPLES, EXAMPLES).in_order()
    kernels = replace(kernels, nodes=nodes)
    costs = explain(kernels, rates.target)
    shares = _shares(kernels, rates)
    layers = {value.name: i for i, value in enumerate(network.values)}
    values = {value.name: i for i, value in enumerate(kernels.values)}
    of_layer: dict[str, list[str]] = {}
    for name in kernels.definitions:
        of_layer.setdefault(_owner(name, layers), []).append(name)
    by_name = {cost.layer: cost for cost in costs.layers}
    layer_rows = {}
    for value in network.values:
        own = of_layer.get(value.name, [])
        share, rows = sum(shares.get(x, 0.0) for x in own), [values[x] for x in own]
        layer_rows[value.name] = layer_row(value, by_name.get(value.name), share, rows)
    kernel_rows = {}
    for value in kernels.values:
        owner = _owner(value.name, layers) if isinstance(value, Node) else network.inputs[0].name
        kernel_rows[value.name] = kernel_row(value, shares.get(value.name, 0.0), [layers[owner]] if owner else [])
    layer_repeats = repeats_of(roll(network.nodes, network.types, [x.value for x in network.outputs]))
    return {
        "name": network.name,
        "summary": _summary(network, kernels, costs, rates),
        "views": [
            view(
                "Network",
                ("shape", "tracked offsets", "layout"),
                network,
                layer_rows,
                layer_repeats,
            ),
            view("Kernel graph", ("type",), kernels, kernel_rows, repeats),
        ],
    }


def _owner(name: str, layers: Mapping[str, int]) -> str:
    """The layer that a kernel value belongs to; empty if there is none of that name."""
    layer = layer_of(name)
    while layer not in layers and "." in layer:
        layer = layer.rpartition(".")[0]
    return layer if layer in layers else ""


def _shares(kernels: Graph, rates: Rates) -> dict[str, float]:
    """Of the time of a tile, by value; they add up to one."""
    seconds = {node.name: rates.seconds(work) for node, work in value_work(kernels, rates.target, EXAMPLES, EXAMPLES)}
    total = sum(seconds.values()) or 1.0
    return {name: x / total for name, x in seconds.items()}


def _summary(network: Graph, kernels: Graph, costs: Explanation, rates: Rates) -> list[str]:
    labels = ", ".join(x.label for x in kernels.outputs)
    entries, naive = (sum(getattr(x, name) for x in costs.layers) for name in ("entries", "naive_entries"))
    return [
        f"{labels} of k(x1, x2)",
        f"{len(network.nodes)} layers",
        f"{len(kernels.nodes)} kernel values",
        f"{entries:,} of {naive:,} entries tracked for a pair of examples",
        f"shares of time predicted for {rates.name}" + ("" if rates.measured else ", not measured here"),
    ]
