"""From a traced function to a network: which values are values of the network, and by which ops.

Products with weights, windows and joins are hard: a rule writes an op for each. Everything in between is soft:
arithmetic of entries, sums over axes and rearrangements of one hard value. What soft steps are together is decided when
a hard one reads them: a nonlinearity, a mean, a normalisation.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from ntc.backends.jax.formulas.scalar_program import ENTRYWISE
from ntc.errors import NtcError
from ntc.importing.graph import Node, Place, Traced, above
from ntc.importing.layout import Atoms, Layout, combined, flat, is_full, joined, reshaped, whole
from ntc.importing.problems import LostError, NotRecognisedError, Problem
from ntc.importing.values import Data
from ntc.importing.writer import Writer

Rule = Callable[["Recogniser", Node], Data | None]

MOVES = frozenset({"broadcast_in_dim", "expand_dims", "reshape", "squeeze", "transpose"})
REDUCTIONS = frozenset({"reduce_sum", "reduce_max", "reduce_min", "argmax", "argmin", "reduce_prod"})


class Recogniser:
    """One reading of a function.

    Attributes:
      writer: the network so far.
      data: what hard nodes, and soft ones that were read, are in the network.
      anchors: the hard node that a soft one is a function of.
      layouts: how the array of a soft or hard node lies to the tensor of its anchor.
      problems: what was not recognised.
    """

    def __init__(
        self, traced: Traced, writer: Writer, start: Data, hard: Mapping[str, Rule], soft: tuple[Rule, ...]
    ) -> None:
        self.traced, self.writer = traced, writer
        self.data: dict[Node, Data] = {traced.input: start}
        self.anchors: dict[Node, Node] = {traced.input: traced.input}
        self.layouts: dict[Node, Layout] = {traced.input: start.layout}
        self.problems: list[Problem] = []
        self._lost: set[Node] = set()  # values that nothing is known of, after a problem
        self._hard, self._soft = hard, soft

    def run(self) -> Data | None:
        """The output; None where nothing is known of it, after problems."""
        for node in self.traced.nodes:
            if node.known or node in self.data:
                continue
            if any(x in self._lost for x in node.operands):
                self._recover(node)
            else:
                self._visit(node)
        output = self.traced.output
        return None if output in self._lost else self.guarded(output, lambda: self.settled(output))

    def _recover(self, node: Node) -> None:
        """Goes on from arithmetic of a value and one of which nothing is known, as a normalisation ends in."""
        values = [x for x in node.operands if not x.known and x not in self._lost and x.shape == node.shape]
        found = self._placeholder(node) if values and node.name in ENTRYWISE else None
        if found is None:
            self._lost.add(node)
        else:
            self.data[node], self.anchors[node], self.layouts[node] = found, node, found.layout

    def _visit(self, node: Node) -> None:
        if node.name in self._hard:
            self.guarded(node, lambda: self._hard[node.name](self, node))
        elif node.name in ENTRYWISE:
            self.guarded(node, lambda: self._entrywise(node))
        elif node.name in MOVES or node.name in REDUCTIONS or node.name == "stop_gradient":
            self.guarded(node, lambda: self._moved(node))
        else:
            self.guarded(node, lambda: _refuse(node))

    def guarded(self, node: Node, rule: Callable[[], Data | None]) -> Data | None:
        """What a rule finds, or a placeholder and one more problem."""
        try:
            found = rule()
        except LostError:
            self._lost.add(node)
            return None
        except NotRecognisedError as problem:
            self._read_all(node)
            self.problems.append(problem.at(node.place))
            found = None if problem.lost else self._placeholder(node)
            if found is None:
                self._lost.add(node)
        except NtcError as error:
            self.problems.append(Problem(node.place, node.name, error.message, error.hint or "another layer"))
            found = self._placeholder(node)
        if found is not None:
            self.data[node], self.anchors[node], self.layouts[node] = found, node, found.layout
        return found

    def _read_all(self, node: Node) -> None:
        """Reads what a node that is not recognised is computed from, for the problems that are there."""
        for x in node.operands:
            if not x.known and x not in self._lost and x not in self.data and x in self.anchors:
                try:
                    self.settled(x)
                except LostError:
                    self._lost.add(x)

    def _placeholder(self, node: Node) -> Data | None:
        """A value of this shape, its axes taken to be examples, positions, and channels where they were."""
        first = next((x for x in node.operands if not x.known), None)
        below = self.layouts.get(first) if first is not None else None
        rank = len(node.shape)
        if rank < 2 or rank > 5:
            return None
        channel = rank - 1
        if below is not None and len(below) == rank:
            channel = next((i for i, axis in enumerate(below) if axis and axis[0].axis == "channels"), rank - 1)
        spatial = tuple(size for i, size in enumerate(node.shape) if i not in (0, channel))
        made = self.writer.placeholder(spatial, node.shape[channel])
        layout = list(made.layout)
        layout.insert(channel, layout.pop())
        return made.with_layout(tuple(layout))

    # Soft nodes

    def _entrywise(self, node: Node) -> Data | None:
        """Arithmetic of entries: of one hard value soft, with a known array a step, of several a join."""
        operands = [x for x in node.operands if not x.known]
        anchors = {self.anchors[x] for x in operands}
        if len(anchors) > 1:
            return self._rule("join", node)
        (anchor,) = anchors
        layout = combined([self._aligned(x, node) for x in operands])
        if layout is None:
            raise NotRecognisedError(
                node.name, "it combines axes that are not the same axis of the network", "values of one shape"
            )
        arrays = [x for x in node.operands if x.known and x.number is None]
        if arrays and self.is_full(anchor, self._aligned(operands[0], node)):
            return self._rule("step", node)
        self.anchors[node], self.layouts[node] = anchor, layout
        return None

    def _aligned(self, operand: Node, node: Node) -> Layout:
        """The layout of an operand, which is a number for all entries where it has no axes."""
        layout = self.layouts[operand]
        return layout if len(layout) == len(node.shape) else ((),) * len(node.shape)

    def _moved(self, node: Node) -> Data | None:
        """A rearrangement of axes, or a sum over them."""
        (x,) = node.operands
        if node.name in REDUCTIONS:
            atoms = self.atoms(x, tuple(node.options["axes"]))
            _check_groups(atoms, self.data[self.anchors[x]])
            if atoms and all(isinstance(atom.axis, int) for atom in atoms):
                return self._rule("positions", node)
        layout = moved(node, self.layouts[x], x.shape)
        if layout is None:
            raise NotRecognisedError(node.name, f"it cuts axes of {x.shape} into {node.shape}", "other patches")
        if x in self.data and node.name in MOVES and self.is_full(x, layout):
            return (
                self.data[x] if self.data[x].value is None and not self.data[x].draft else self.read(x)
            ).with_layout(layout)
        self.anchors[node], self.layouts[node] = self.anchors[x], layout
        return None

    def is_full(self, anchor: Node, layout: Layout) -> bool:
        """Whether a layout has every entry of the tensor of a hard node."""
        data = self.data[anchor]
        return is_full(layout, self.writer.examples, data.spatial, data.channels)

    def _rule(self, name: str, node: Node) -> Data | None:
        return self._hard[name](self, node)

    # What rules ask

    def read(self, node: Node) -> Data:
        """What a node is in the network: open, if it is a layer that a bias may follow and that nothing else reads."""
        if node in self.data:
            found = self.data[node]
            return found if node.uses == 1 else self.settled(node)
        try:
            made = self._soft_value(node)
        except NotRecognisedError as problem:
            self.problems.append(problem.at(node.place))
            placeholder = self._placeholder(node)
            if placeholder is None:
                raise LostError from None
            made = placeholder
        self.data[node], self.layouts[node] = made, made.layout
        return made if node.uses == 1 else self.settled(node)

    def _soft_value(self, node: Node) -> Data:
        for rule in self._soft:
            made = rule(self, node)
            if made is not None:
                return made
        raise NotRecognisedError(
            f"{node.name} of {node.shape}",
            "its steps are no nonlinearity, mean or normalisation that is known",
            "layers of the table of what is recognised",
        )

    def between(self, node: Node) -> list[Node]:
        """The values through which all that reaches a soft node from its anchor goes, the anchor first."""
        anchor = self.anchors[node]
        found = [anchor]
        for candidate in above(node, [anchor]):
            if candidate.known or candidate is node:
                continue
            if not any(anchor in x.operands for x in above(node, [candidate, anchor]) if not x.known):
                found.append(candidate)
        return found

    def settled(self, node: Node) -> Data:
        """What a node is in the network, written."""
        found = self.data[node] if node in self.data else self.read(node)
        if found.value is None and found.draft is None:
            raise NotRecognisedError(
                "attention that ends otherwise than in weights",
                "its heads are read by something else",
                "self-attention",
            )
        done = self.writer.settled(found)
        self.data[node] = done
        return done

    def atoms(self, node: Node, axes: tuple[int, ...]) -> Atoms:
        """The atoms along axes of the array of a node."""
        return flat(tuple(self.layouts[node][axis] for axis in axes))

    def place(self, node: Node) -> Place:
        """Where a node was written."""
        return node.place

    def copied(self, data: Data, layout: Layout) -> Data:
        """The same value in another array."""
        return replace(data, layout=layout)


def moved(node: Node, layout: Layout, shape: tuple[int, ...]) -> Layout | None:
    """The layout after a rearrangement or a reduction; None if there is none."""
    options = node.options
    match node.name:
        case "transpose":
            return tuple(layout[axis] for axis in options["permutation"])
        case "broadcast_in_dim":
            found: list[Atoms] = [()] * len(node.shape)
            for axis, place in enumerate(options["broadcast_dimensions"]):
                found[place] = layout[axis]
            return tuple(found)
        case "expand_dims" | "squeeze" | "reshape":
            return reshaped(layout, shape, node.shape)
        case "stop_gradient":
            return layout
    axes = options["axes"]
    return tuple(atoms for axis, atoms in enumerate(layout) if axis not in axes)


def _check_groups(atoms: Atoms, data: Data) -> None:
    """Raises NotRecognisedError for a statistic of a part of the channels."""
    own = tuple(atom for atom in atoms if atom.axis == "channels")
    if own and joined(own) != whole("channels", data.channels):
        raise NotRecognisedError(
            "a statistic of groups of channels, as of group norm",
            "it is exact for one group alone: other groups are of as many channels as there are in one",
            "layer norm, or group norm with one group",
            lost=True,
        )


def _refuse(node: Node) -> None:
    from ntc.importing.recognise.refused import reason

    raise reason(node)
