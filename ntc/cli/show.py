"""ntc show: a network as a tree with shapes, as a page with its kernel graph, or for graphviz."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import networkx as nx
import typer
from rich.console import Console
from rich.text import Text
from rich.tree import Tree

from ntc.cli import files, options
from ntc.cli.price import TARGETS
from ntc.compiler import lower
from ntc.errors import UsageError
from ntc.files import write_text
from ntc.ir.graph import Graph, Input, Node, tensor_op
from ntc.ir.json import to_json
from ntc.ir.printer import brief
from ntc.picture import page
from ntc.price import known_rates

_WIDTH = 1000
"""Columns of the tree; a terminal with fewer wraps the line, and nothing is cut."""


def show_command(
    model_file: options.ModelPath,
    dot: Annotated[bool, typer.Option("--dot", help="Print the graph for graphviz.")] = False,
    html: Annotated[Path | None, files.written("--html", help="Write a page of the graphs for a browser.")] = None,
    target: Annotated[str, typer.Option("--target", help=f"Of the page: {TARGETS}")] = "cpu",
    model: options.ModelName = None,
    param: options.Parameters = None,
    as_json: options.Json = False,
) -> None:
    """Print the layers of a model, branches indented, with the shape of every value; or write a page."""
    if sum([dot, as_json, html is not None]) > 1:
        raise UsageError("--html, --dot and --json are different outputs: give one of them")
    network = options.open_network(model_file, model, param)
    if html is not None:
        kernels = lower(network)
        write_text(html, page(network, kernels, known_rates(target)))
    elif as_json:
        print(to_json(network, indent=1))
    elif dot:
        print(_dot(network))
    else:
        Console(width=_WIDTH).print(_tree(network))
        options.say_what_comes_out(network)


def _tree(network: Graph) -> Tree:
    """A join shows its branches as subtrees, each from the value at which all of them begin: of several inputs, from
    before them."""
    graph = network.networkx()
    if len(network.inputs) == 1:
        start = network.inputs[0].name
        root = Tree(_line(network, network.inputs[0]))
    else:
        start, root = "", Tree(Text("inputs", "bold"))
        graph.add_edges_from((start, x.name) for x in network.inputs)
    dominators = nx.immediate_dominators(graph, start)
    tasks = [(root, start, network.outputs[-1].value)]
    while tasks:
        tree, first, last = tasks.pop()
        for node in _path(network, dominators, first, last):
            branch = tree.add(_line(network, node))
            if isinstance(node, Node) and len(node.operands) > 1:
                fork = dominators[node.name]
                tasks += [(branch.add(f"branch {i}"), fork, x) for i, x in enumerate(node.operands, 1)]
    return root


def _path(network: Graph, dominators: dict[str, str], first: str, last: str) -> list[Input | Node]:
    """The values after `first` up to `last` through which every way between them leads."""
    values = {value.name: value for value in network.values}
    path = []
    while last != first:
        path.append(values[last])
        last = dominators[last]
    return path[::-1]


def _line(network: Graph, value: Input | Node) -> Text:
    call = brief(value) if isinstance(value, Node) else "input"
    names = [x.label for x in network.outputs[:-1] if x.value == value.name]
    named = f"  output {', '.join(names)}" if names else ""
    without = isinstance(value, Node) and not tensor_op(value).closed_form
    mark = ("  finite networks only", "yellow") if without else ""
    return Text.assemble((value.name, "bold"), "  ", call, "  ", (str(value.type), "dim"), named, mark)


def _dot(network: Graph) -> str:
    lines = [f"digraph {json.dumps(network.name)} {{", "  node [shape=box, fontname=monospace];"]
    for value in network.values:
        call = brief(value) if isinstance(value, Node) else "input"
        label = json.dumps(f"{call}\n{value.type}")
        lines.append(f"  {json.dumps(value.name)} [label={label}];")
    lines += [f"  {json.dumps(a)} -> {json.dumps(b)};" for a, b, _ in network.networkx().edges]
    return "\n".join([*lines, "}"])
