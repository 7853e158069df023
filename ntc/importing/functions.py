"""Importing a function: `from_jax`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from math import prod
from typing import Any, Literal

import jax
import jax.numpy as jnp

from ntc.errors import InputError, ParameterError
from ntc.importing.estimated import Estimated
from ntc.importing.graph import Array, Node, Traced
from ntc.importing.jaxpr import path_text, trace
from ntc.importing.known import with_parameters
from ntc.importing.layout import Layout, flat, whole
from ntc.importing.places import PlaceOf
from ntc.importing.problems import NotRecognisedError, error_of
from ntc.importing.recognise import HARD, SOFT
from ntc.importing.recogniser import Recogniser
from ntc.importing.result import Imported
from ntc.importing.scales import Scales, check_given
from ntc.importing.table import Table
from ntc.importing.values import Data
from ntc.importing.writer import Writer
from ntc.ir.ops import Flatten
from ntc.ir.schema import Parameterization

DRAWS = 8
"""Sets of parameters of which scales are measured, where the caller gives a function that draws them."""


def from_jax(
    function: Callable[[Any, Any], Any],
    params: Any,
    x: Any,
    *,
    channel_axis: int = -1,
    parameterization: Parameterization = "standard",
    scales: Mapping[str, float] | None = None,
    named_scales: bool = True,
    on_missing: Literal["error", "monte_carlo"] = "error",
    name: str = "network",
    place_of: PlaceOf | None = None,
) -> Imported | Estimated:
    """The network of a JAX function f(params, x), such as `module.apply` of Flax.

    The function is traced, not run on `x`. Products and convolutions with parameters become layers, what is between
    them nonlinearities, means, normalisations and sums of branches; docs/importing.md has what is recognised.

    Args:
      function: f(params, x), which returns one array whose first axis is that of the examples.
      params: any tree of arrays as an initialiser draws them; or the function that draws them, of a key: scales are
        then measured of several draws. Entries under `batch_stats` are constants, not trained.
      x: one or more examples, (N, ...), of which the shape matters alone.
      channel_axis: the axis of x that has the channels; those between it and the first are spatial.
      parameterization: `standard`, as libraries of layers draw their weights, or `ntk`.
      scales: by the path of a parameter, as `params/Dense_0/kernel`, its standard deviation, of a weight times the root
        of its fan-in; those of other parameters are measured.
      named_scales: whether a measured scale that agrees with that of LeCun, He, Glorot or PyTorch within chance is
        taken to be that.
      on_missing: `error` raises NoLimitError, with all places that have no limit; `monte_carlo` then gives an
        `Estimated` in place of a network, whose kernels are means over random networks; it needs a function that draws.
      name: of the network.
      place_of: where equations were written, if that is not what JAX says.

    Raises:
      NoLimitError: the list of all places that have no infinite-width limit or are not recognised.
      InputError: the function cannot be traced, or returns several arrays.
      ParameterError: an argument is out of its domain.
    """
    if on_missing not in ("error", "monte_carlo"):
        raise ParameterError(f"on_missing should be error or monte_carlo, got {on_missing}")
    with jax.enable_x64(True):
        drawn = _drawn(params)
        example = _example(x, channel_axis)
        traced = _traced(function, drawn[0], example, place_of, scales or {})
        known = Scales(partial(_draws, [_by_path(x) for x in drawn]), scales or {}, named_scales)
        reader, data = _read(traced, example, channel_axis, known, parameterization)
    if reader.problems or data is None:
        error = error_of(reader.problems)
        if on_missing == "monte_carlo":
            return Estimated(function, _drawing(params, error), tuple(map(str, reader.problems)))
        raise error
    graph, writer = reader.writer.finish(name, data), reader.writer
    shape, channel = traced.output.shape, channel_axis % example.ndim
    return Imported(graph, Table(tuple(writer.rows)), channel, writer.weights, drawn[0], data.layout, shape)


def _traced(
    function: Callable[[Any, Any], Any], params: Any, x: Any, place_of: PlaceOf | None, scales: Mapping[str, float]
) -> Traced:
    """The graph of the function. Raises ParameterError for scales of parameters that there are not."""
    traced = trace(function, params, x, place_of)
    _freeze(traced)
    check_given(scales, [node.path for node in traced.nodes if node.role == "parameter"])
    return traced


def _read(
    traced: Traced, example: Any, channel_axis: int, scales: Scales, parameterization: Parameterization
) -> tuple[Recogniser, Data | None]:
    channel = channel_axis % example.ndim
    spatial = tuple(size for i, size in enumerate(example.shape) if i not in (0, channel))
    channels, layout = example.shape[channel], _start(example.shape, channel)
    writer = Writer(len(example), spatial, channels, scales, parameterization)
    start = Data(layout, spatial, channels, writer.builder.input)
    reader = Recogniser(traced, writer, start, HARD, SOFT)
    data = reader.run()
    if data is None or reader.problems:
        return reader, None
    found = data
    return reader, reader.guarded(traced.output, lambda: _finished(writer, traced.output, found))


def _start(shape: tuple[int, ...], channel: int) -> Layout:
    """The layout of the examples."""
    found, axis = [], 0
    for i, size in enumerate(shape):
        if i in (0, channel):
            found.append(whole("examples" if i == 0 else "channels", size))
        else:
            found.append(whole(axis, size))
            axis += 1
    return tuple(found)


def _finished(writer: Writer, node: Node, data: Data) -> Data:
    """The output without positions where all but one are gone."""
    if prod(node.shape) != prod(atom.size for atom in flat(data.layout)):
        raise NotRecognisedError("copies of a value in the output", "they are one output", "the value once")
    if data.spatial and set(data.spatial) == {1}:
        assert data.value is not None
        return writer.append(Flatten(), (data.value,), node.place).with_layout(data.layout)
    return data


def _drawn(params: Any) -> list[Any]:
    """Sets of parameters in float64."""
    if not callable(params):
        return [_wide(params)]
    return [_wide(params(jax.random.key(i))) for i in range(DRAWS)]


def _wide(params: Any) -> Any:
    def wide(leaf: Any) -> Any:
        array = jnp.asarray(leaf)
        return array.astype(jnp.float64) if jnp.issubdtype(array.dtype, jnp.floating) else array

    return jax.tree.map(wide, params)


def _by_path(params: Any) -> dict[str, Any]:
    return {path_text(path): leaf for path, leaf in jax.tree_util.tree_flatten_with_path(params)[0]}


def _draws(drawn: list[dict[str, Any]], node: Node) -> list[Array]:
    return [with_parameters(node, arrays) for arrays in drawn]


def _example(x: Any, channel_axis: int) -> Any:
    """Two or more examples in float64: one has no axis that can be told."""
    example = jnp.asarray(x, jnp.float64)
    if example.ndim < 2 or not len(example):
        raise InputError(f"x has shape {example.shape}; it should be one or more examples, (N, ..., channels)")
    if not -example.ndim <= channel_axis < example.ndim or channel_axis % example.ndim == 0:
        raise ParameterError(f"channel_axis = {channel_axis} is no axis of the channels of x, of shape {example.shape}")
    return jnp.concatenate([example, example]) if len(example) == 1 else example


def _freeze(traced: Traced) -> None:
    """Statistics that are kept are no parameters."""
    frozen = {x.path for x in traced.nodes if x.role == "parameter" and "batch_stats" in x.path.split("/")}
    for node in traced.nodes:
        node.parameters = node.parameters - frozen


def _drawing(params: Any, error: Exception) -> Callable[[Any], Any]:
    if not callable(params):
        raise InputError(
            "monte_carlo needs random networks: params should be the function that draws them",
            hint="params=lambda key: module.init(key, x)",
        ) from error
    drawing: Callable[[Any], Any] = params
    return drawing
