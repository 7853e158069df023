"""Writing the network: ops whose scales come from arrays, what may join them, and where each came from."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

import numpy as np

from ntc.errors import NotGaussianError, NtcError
from ntc.importing.graph import Array, Node, Place
from ntc.importing.known import entries
from ntc.importing.problems import NotRecognisedError
from ntc.importing.scales import Scale, Scales, favourite
from ntc.importing.table import Row
from ntc.importing.values import Data, Draft, Shift, Source, Stretch, plain
from ntc.ir import ops
from ntc.ir.build import TensorGraphBuilder
from ntc.ir.graph import Graph
from ntc.ir.op import TensorOp
from ntc.ir.ops import AffineLayer, AvgPool, Bias, ClassToken, Dense, GlobalAvgPool, GlobalSumPool, LayerScale, SumPool
from ntc.ir.schema import Parameterization
from ntc.ir.types import Spatial, TensorType


class Writer:
    """A tensor graph that is written value by value, with the arrays of its layers and the rows of the table."""

    def __init__(
        self, examples: int, spatial: Spatial, channels: int, scales: Scales, parameterization: Parameterization
    ) -> None:
        self.builder = TensorGraphBuilder(spatial, channels)
        self.examples = examples
        self.weights: dict[str, dict[str, Source]] = {}
        self.rows: list[Row] = []
        self._placeholders: set[str] = set()
        self._layers: dict[str, tuple[AffineLayer, TensorType]] = {}
        self._scales = scales
        self._parameterization = parameterization
        self._read: dict[str, list[tuple[Array, Place]]] = {}

    def append(self, op: TensorOp, operands: tuple[str, ...], place: Place) -> Data:
        """Writes an op. Raises NotRecognisedError where the builder refuses it."""
        try:
            name = self.builder.append(op, operands)
        except NotGaussianError as error:
            raise NotRecognisedError(
                f"{op.name} on values that are not Gaussian in the limit",
                "they are sums with what another nonlinearity has put out or with a learnt scale, or channels are not "
                "alike; the kernel is an integral over all of these",
                "a dense layer or convolution before it; residual blocks that begin with their nonlinearity (He et al. "
                "2016, arXiv:1603.05027), whose sums no nonlinearity reads",
            ) from error
        except NtcError as error:
            raise NotRecognisedError(op.name, error.message, error.hint or "another layer") from error
        type_ = self.builder.tensor_of(name)
        if not isinstance(op, AffineLayer):
            self.rows.append(Row(str(place), name, op))
        return plain(name, self.examples, type_.spatial, type_.channels)

    def placeholder(self, spatial: Spatial, channels: int) -> Data:
        """A Gaussian value in the place of one that has no limit, so that what follows can be looked at."""
        name = f"unknown{len(self._placeholders)}"
        self.builder.add_input(spatial, channels, None, name)
        value = self.builder.append(Dense(channels), [name])
        self._placeholders.add(value)
        return plain(value, self.examples, spatial, channels)

    def settled(self, data: Data) -> Data:
        """The value with all that was left open written."""
        steps = list(data.steps)
        if data.draft is not None:
            done = self._written(data.draft, steps)
        else:
            assert data.value is not None
            done = plain(data.value, self.examples, data.spatial, data.channels)
        while steps and done.value not in self._placeholders:
            done = self._stepped(done, steps)
        return done.with_layout(data.layout)

    def _written(self, draft: Draft, steps: list[Shift | Stretch]) -> Data:
        """Writes an op with the steps that are a part of it, which are taken off."""
        if draft.what == "weights":
            return self._layer(draft, steps)
        op = draft.op
        if draft.what == "sum" and steps and isinstance(steps[0], Stretch):
            mean, positions = self._mean(draft)
            factor = _uniform(steps[0])
            if factor is not None:
                left = factor * positions
                constant = Source(_ones(1), lambda x: left * x)
                steps[:1] = [] if np.isclose(left, 1, 1e-6) else [Stretch(constant, False, steps[0].place)]
                op = mean
        return self.append(op, draft.operands, draft.place)

    def _mean(self, draft: Draft) -> tuple[TensorOp, int]:
        """The mean of which a draft is the sum, and of how many positions."""
        op, x = draft.op, self.builder.tensor_of(draft.operands[0])
        if isinstance(op, SumPool):
            window = [axis.window for axis in op.kernel_op(x.spatial).geometry(x.spatial)]
            return AvgPool(op.window, op.stride, op.padding), int(np.prod(window))
        assert isinstance(op, GlobalSumPool)
        return GlobalAvgPool(), int(np.prod(x.spatial))

    def _layer(self, draft: Draft, steps: list[Shift | Stretch]) -> Data:
        """Writes a layer with weights, and the bias that follows."""
        op, weights = draft.op, dict(draft.weights)
        assert isinstance(op, AffineLayer)
        if steps and isinstance(steps[0], Shift):
            weights["b"] = _signed(steps[0])
            steps.pop(0)
        x = self.builder.tensor_of(draft.operands[0])
        made, scale, bias = self._scaled(op, x, weights)
        self._check_weights(weights, draft.place)
        done = self.append(made, draft.operands, draft.place)
        assert done.value is not None
        self.weights[done.value] = weights
        self._layers[done.value] = op, x
        self.rows.append(Row(str(draft.place), done.value, made, _paths(weights["w"]), scale, False))
        if bias is not None:
            self.rows.append(Row(str(draft.place), done.value, made, _paths(weights["b"]), bias, True))
        return done

    def _scaled(
        self, op: AffineLayer, x: TensorType, weights: dict[str, Source]
    ) -> tuple[TensorOp, Scale, Scale | None]:
        """The op on a value of this type with the scales of its arrays, and these."""
        fan_in, shape = op.fan_in(x), op.weight_shape(x)
        fan_out = int(np.prod(shape)) // max(1, shape[-2])
        scale = self._scales.weight(weights["w"].node, fan_in, fan_out)
        bias = self._scales.bias(weights["b"].node, fan_in, scale) if "b" in weights else None
        changes: dict[str, Any] = {
            "w_std": scale.value,
            "parameterization": self._parameterization,
            "bias": "b" in weights,
        }
        if bias is not None:
            changes["b_std"] = bias.value
        if not weights["w"].trained:
            changes["learning_rate"] = 0.0
        known = {x.name for x in fields(op)}  # type: ignore[arg-type]  # every op is a dataclass
        made: TensorOp = replace(op, **{k: v for k, v in changes.items() if k in known})  # type: ignore[type-var]
        return made, scale, bias

    def _check_weights(self, weights: dict[str, Source], place: Place) -> None:
        """Weights that occur twice, or that are computed, are not those of a layer of their own."""
        for source in weights.values():
            if not source.trained:
                continue
            read = entries(source.node)
            if read is None:
                raise NotRecognisedError(
                    "weights that are computed from parameters",
                    "their derivative is that of what they are computed from, and they may depend on each other",
                    "parameters that are the weights; a factor goes on the output of the layer",
                )
            for path, numbers in read.items():
                for earlier, where in self._read.get(path, ()):
                    if np.isin(numbers, earlier).any():
                        raise NotRecognisedError(
                            f"{path} is used again, after {where}",
                            "weights that are shared make outputs dependent: covariances between all uses are needed",
                            "layers with weights of their own",
                        )
                self._read.setdefault(path, []).append((numbers, place))

    def _stepped(self, data: Data, steps: list[Shift | Stretch]) -> Data:
        """Writes one step: a number that is the same for all channels, or what is learnt for each."""
        step = steps.pop(0)
        if isinstance(step, Stretch):
            factor = _uniform(step)
            if factor is not None:
                return data if factor == 1 else self.append(ops.Scale(factor), (str(data.value),), step.place)
            return self._layer_scale(data, step)
        if not step.source.trained and not step.source.values.any():
            return data
        return self._bias(data, step)

    def _layer_scale(self, data: Data, step: Stretch) -> Data:
        """Writes what channels are multiplied by, which is learnt."""
        source = step.source if not step.inverse else Source(step.source.node, lambda x: 1 / step.source.arranged(x))
        mean, spread, how = self._scales.gain(source.node, source.arranged)
        if spread:
            raise NotRecognisedError(
                "channels that are multiplied by different numbers",
                "channels of different variances have no common limit behind a nonlinearity",
                "scales and statistics that are the same for all channels, as training begins with",
            )
        return self._learnt(data, LayerScale(mean), {"g": source}, step.place, Scale(mean, how))

    def _bias(self, data: Data, step: Shift, per_position: bool = False) -> Data:
        """Writes what is added to channels and is learnt, behind what has no weights."""
        source = _signed(step)
        scale = self._scales.bias(source.node, 1)
        rate = 1.0 if source.trained else 0.0
        op = Bias(scale.value, per_position, self._parameterization, rate)
        if self._parameterization == "ntk" and scale.value == 0 and source.trained:
            op = replace(op, parameterization="standard")
        return self._learnt(data, op, {"b": source}, step.place, scale)

    def learnt_positions(self, data: Data, source: Source, place: Place) -> Data:
        """Writes embeddings of positions."""
        return self._bias(data, Shift(source, 1.0, place), per_position=True)

    def class_token(self, data: Data, source: Source, last: bool, place: Place) -> Data:
        """Writes a position that is learnt, of a value with one axis of positions."""
        scale = self._scales.bias(source.node, 1)
        op = ClassToken(scale.value, last=last, parameterization=self._parameterization)
        return self._learnt(data, op, {"e": source}, place, scale)

    @property
    def parameterization(self) -> Parameterization:
        """Of all layers."""
        return self._parameterization

    def scale_of(self, source: Source, fan_in: int, fan_out: int) -> Scale:
        """w_std of weights."""
        return self._scales.weight(source.node, fan_in, fan_out)

    def attention(
        self, op: TensorOp, operand: str, weights: dict[str, Source], scales: dict[str, Scale], place: Place
    ) -> Data:
        """Writes self-attention, with a row of the table for each of its arrays."""
        self._check_weights(weights, place)
        done = self.append(op, (operand,), place)
        assert done.value is not None
        self.weights[done.value] = weights
        row = self.rows.pop()
        self.rows += [replace(row, parameter=_paths(weights[x]), scale=scales[x]) for x in weights]
        return done

    def _learnt(self, data: Data, op: TensorOp, weights: dict[str, Source], place: Place, scale: Scale) -> Data:
        self._check_weights(weights, place)
        done = self.append(op, (str(data.value),), place)
        assert done.value is not None
        self.weights[done.value] = weights
        (source,) = weights.values()
        self.rows[-1] = replace(
            self.rows[-1], parameter=_paths(source), scale=scale, bias=not isinstance(op, LayerScale)
        )
        return done

    def finish(self, name: str, output: Data) -> Graph:
        """The network, with one initialiser where several agree with what was measured."""
        assert output.value is not None
        graph = self.builder.finish(name, output.value)
        self._scales.favourite = favourite(
            [row.scale for row in self.rows if row.scale and row.value in self._layers and not row.bias]
        )
        found = {value: self._scaled(op, x, self.weights[value]) for value, (op, x) in self._layers.items()}
        self.rows = [_renewed(row, *found[row.value]) if row.value in found else row for row in self.rows]
        nodes = tuple(replace(x, op=found[x.name][0]) if x.name in found else x for x in graph.nodes)
        return replace(graph, nodes=nodes)


def _renewed(row: Row, op: TensorOp, scale: Scale, bias: Scale | None) -> Row:
    return replace(row, op=op, scale=bias if row.bias else scale)


def _uniform(step: Stretch) -> float | None:
    """The number that all channels are multiplied by, if it is one, and no parameter."""
    values = step.source.values
    first = values.reshape(-1)[0]
    if step.source.trained or not np.allclose(values, first, 1e-6, 0):
        return None
    return float(1 / first if step.inverse else first)


def _ones(channels: int) -> Node:
    return Node("constant", (), "constant", (channels,), array=np.ones(channels))


def _signed(step: Shift) -> Source:
    source = step.source
    return source if step.sign > 0 else Source(source.node, lambda x: -source.arranged(x))


def _paths(source: Source) -> str:
    return ", ".join(sorted(source.node.parameters)) or "a constant"
