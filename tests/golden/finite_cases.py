"""Finite networks in the layer API of Neural Tangents, to be run on its `stax` and on ours.

Run by a Python that has Neural Tangents, it writes `finite.npz` and `signatures.json`: see README.md.
"""

from __future__ import annotations

import inspect
import json
from pathlib import Path
from typing import Any

import jax
import numpy as np

GOLDEN = Path(__file__).with_name("finite.npz")
SIGNATURES = Path(__file__).with_name("signatures.json")
IMAGE, FIRST = (2, 6, 5, 3), (2, 3, 6, 5)
NCHW = ("NCHW", "OIHW", "NCHW")


def networks(stax: Any) -> dict[str, tuple[Any, Any]]:
    """Layers, and the shapes of their inputs."""
    return {**_affine(stax), **_attention(stax), **_shapes(stax), **_combined(stax), **_elementwise(stax)}


def _affine(stax: Any) -> dict[str, tuple[Any, Any]]:
    standard = {"parameterization": "standard"}
    return {
        "dense": (stax.Dense(4, 1.3, 0.2), (2, 4)),
        "dense_no_bias": (stax.Dense(4, 1.3), (2, 4)),
        "dense_standard": (stax.Dense(4, 1.3, 0.1, s=(2, 3), **standard), (2, 4)),
        "dense_channels_first": (stax.Dense(4, 1.3, 0.1, channel_axis=1), FIRST),
        "conv": (stax.Conv(4, (3, 2), (2, 1), "SAME", 1.3, 0.1), IMAGE),
        "conv_standard": (stax.Conv(4, (3, 2), (2, 1), "CIRCULAR", 1.3, 0.1, **standard), IMAGE),
        "conv_channels_first": (stax.Conv(4, (3, 2), b_std=0.1, dimension_numbers=NCHW), FIRST),
        "conv_mixed": (stax.Conv(4, (3, 2), b_std=0.1, dimension_numbers=("NCHW", "HIOW", "NHWC")), FIRST),
        "conv_transpose": (stax.ConvTranspose(4, (3, 2), (2, 1), "SAME", 1.0, 0.1), IMAGE),
        "conv_transpose_circular": (stax.ConvTranspose(4, (3, 2), (2, 2), "CIRCULAR", 1.0, 0.1), IMAGE),
        "conv_local": (stax.ConvLocal(4, (3, 2), (2, 1), "VALID", 1.2, 0.1), IMAGE),
        "conv_local_channels_first": (stax.ConvLocal(4, (3, 2), b_std=0.1, dimension_numbers=NCHW), FIRST),
    }


def _attention(stax: Any) -> dict[str, tuple[Any, Any]]:
    attend, embed = stax.GlobalSelfAttention, {"pos_emb_type": "CONCAT", "n_chan_pos_emb": 4}
    return {
        "attention": (attend(4, 3, 5, 2, True, 1.1, 1.2, 1.3, 0.9, 0.1), IMAGE),
        "attention_root": (attend(4, 3, 5, 2, False, b_std=0.1), IMAGE),
        "attention_added": (attend(4, 3, 5, 2, attention_mechanism="RELU", pos_emb_type="SUM"), IMAGE),
        "attention_concatenated": (
            attend(4, 3, 5, 2, False, attention_mechanism="ABS", val_pos_emb=True, **embed),
            IMAGE,
        ),
        "attention_channels_first": (attend(4, 3, 5, 2, b_std=0.1, channel_axis=1, **embed), FIRST),
    }


def _shapes(stax: Any) -> dict[str, tuple[Any, Any]]:
    slices, matrix = stax.Slice, np.arange(10.0).reshape(5, 2)
    along = {"batch_axis": 0, "channel_axis": 3}
    return {
        "avg_pool": (stax.AvgPool((2, 3), (1, 2), "SAME", True), IMAGE),
        "avg_pool_channels_first": (stax.AvgPool((2, 3), None, "CIRCULAR", channel_axis=1), FIRST),
        "sum_pool": (stax.SumPool((2, 2), (1, 2), "SAME"), IMAGE),
        "global_avg_pool_channels_first": (stax.GlobalAvgPool(channel_axis=1), FIRST),
        "global_sum_pool_batch_last": (stax.GlobalSumPool(batch_axis=3, channel_axis=0), (3, 6, 5, 2)),
        "layer_norm_rows": (stax.LayerNorm((1, 3)), IMAGE),
        "layer_norm_channels_first": (stax.LayerNorm((1, 3), channel_axis=1), FIRST),
        "flatten_batch_second": (stax.Flatten(batch_axis=1, batch_axis_out=1), (6, 2, 5, 3)),
        "resize": (stax.ImageResize((-1, 4, -1, -1), "bilinear"), IMAGE),
        "index": (stax.Index(slices[:, 1, 2]), IMAGE),
        "index_ellipsis": (stax.Index(slices[..., 1:3, :]), IMAGE),
        "index_channels_first": (stax.Index(slices[:, :, 1:5:2], channel_axis=1), FIRST),
        "dot_general": (stax.DotGeneral(rhs=matrix, dimension_numbers=(((2,), (0,)), ((), ())), **along), IMAGE),
        "dot_general_left": (stax.DotGeneral(lhs=matrix.T, dimension_numbers=(((1,), (2,)), ((), ())), **along), IMAGE),
        "dot_general_number": (stax.DotGeneral(rhs=2.0), IMAGE),
    }


def _combined(stax: Any) -> dict[str, tuple[Any, Any]]:
    conv = stax.Conv(3, (2, 2), dimension_numbers=NCHW)
    branches = stax.parallel(stax.Dense(3, channel_axis=1), stax.Relu())
    return {
        "repeat": (stax.repeat(stax.serial(stax.Dense(4, 1.0, 0.1), stax.Relu()), 3), (2, 4)),
        "fan": (stax.serial(stax.FanOut(2), stax.parallel(stax.Dense(3), stax.Relu()), stax.FanInConcat()), (2, 4)),
        "fan_channels_first": (stax.serial(conv, stax.FanOut(2), branches, stax.FanInConcat(1)), FIRST),
        "parallel": (stax.parallel(stax.Dense(3), stax.Dense(2, 1.0, 0.5)), ((2, 4), (2, 5))),
        "flatten_channels_first": (stax.serial(conv, stax.Flatten(), stax.Dense(3)), FIRST),
        "product": (stax.serial(stax.FanOut(2), stax.parallel(stax.Dense(3), stax.Dense(3)), stax.FanInProd()), (2, 4)),
        "dropout": (stax.serial(stax.Dense(3), stax.Dropout(0.5)), (2, 4)),
    }


def _elementwise(stax: Any) -> dict[str, tuple[Any, Any]]:
    layers = {
        "LeakyRelu": (0.2,),
        "ABRelu": (-0.5, 1.5),
        "Abs": (),
        "Erf": (1.1, 0.5, 0.2),
        "Sigmoid_like": (),
        "Gelu": (),
        "Sin": (1.1, 0.5, 0.2),
        "Cos": (1.1, 0.5, 0.2),
        "Rbf": (0.7,),
        "Sign": (),
        "Exp": (0.5, 0.2),
        "Gaussian": (1.1, -0.3),
        "Gabor": (),
        "Hermite": (3,),
        "Monomial": (3,),
        "RectifiedMonomial": (2,),
        "Polynomial": ([0.3, -0.5, 0.2],),
    }
    return {name: (getattr(stax, name)(*given), (2, 3)) for name, given in layers.items()}


def results(stax: Any, name: str) -> dict[str, Any]:
    """Parameters, how they nest, the shape that `init_fn` says, and the output, of one network, with jax_enable_x64."""
    (init_fn, apply_fn, _), shape = networks(stax)[name]
    says, params = init_fn(jax.random.PRNGKey(0), shape)
    random = np.random.default_rng(0)
    several = isinstance(shape[0], tuple)
    x = tuple(random.normal(size=one) for one in shape) if several else random.normal(size=shape)
    outputs = apply_fn(params, x, rng=jax.random.PRNGKey(1))
    found = {f"output{i}": y for i, y in enumerate(outputs if several else [outputs])}
    found |= {f"parameter{i}": leaf for i, leaf in enumerate(jax.tree_util.tree_leaves(params))}
    found |= {"tree": str(jax.tree_util.tree_structure(params)), "shape": np.ravel(says)}
    return {key: np.asarray(value) for key, value in found.items()}


def signatures(stax: Any) -> dict[str, list[str]]:
    """Parameters of every layer, with their defaults unless these are functions or objects of JAX."""
    layers = {
        name: value for name, value in vars(stax).items() if inspect.isfunction(value) and name not in _DECORATORS
    }
    return {name: list(map(_shown, inspect.signature(layer).parameters.values())) for name, layer in layers.items()}


_DECORATORS = ("layer", "requires", "supports_masking", "unmask_fn")


def _shown(parameter: inspect.Parameter) -> str:
    default = parameter.default
    plain = isinstance(default, (str, float, int, tuple, type(None))) and default is not inspect.Parameter.empty
    name = {parameter.VAR_POSITIONAL: "*", parameter.KEYWORD_ONLY: "named "}.get(parameter.kind, "") + parameter.name
    return f"{name} = {default!r}" if plain and name not in ("to_dense", "precision", "named precision") else name


if __name__ == "__main__":
    from neural_tangents import stax  # type: ignore[import-not-found, unused-ignore]

    jax.config.update("jax_enable_x64", True)
    jax.config.update("jax_threefry_partitionable", False)
    values = {f"{name}/{key}": value for name in networks(stax) for key, value in results(stax, name).items()}
    np.savez_compressed(GOLDEN, **values)
    SIGNATURES.write_text(json.dumps(signatures(stax), indent=1) + "\n")
