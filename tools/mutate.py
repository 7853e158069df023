"""Mutation testing: breaks one factor of the rules at a time in a copy of the checkout, and sees which test notices.

    python tools/mutate.py [--jobs 2] [--only WORD]

Prints a table in Markdown; the exit status is the number of mutations that survived.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
COPIED = ("ntc", "tests", "examples", "docs", "tools", "benchmarks", "pyproject.toml", "README.md")
TESTS = (
    "test_linear",
    "test_rules",
    "test_identities",
    "test_integrals",
    "test_activations",
    "test_normalization",
    "test_attention",
    "test_mixing_positions",
    "test_learnt",
    "test_max_pool",
    "test_outputs",
    "test_near",
    "test_distance",
    "test_programs",
    "test_fused",
    "test_stax",
    "test_stax_finite",
    "test_stax_kernel",
    "test_empirical_blocks",
    "test_empirical",
    "test_monte_carlo_kernels",
    "test_linearize",
    "test_monte_carlo",
    "test_golden",
)
"""In this order: those first that are quick and point at the rule."""


@dataclass(frozen=True)
class Mutation:
    """One edit. `old` must occur exactly once in the file."""

    file: str
    old: str
    new: str
    breaks: str


MUTATIONS = (
    Mutation(
        "ntc/finite/blocks.py",
        "mirrored = [tile.transpose(swapped) for tile in tiles]",
        "mirrored = tiles",
        "empirical NTK in blocks: mirror images of blocks",
    ),
    Mutation(
        "ntc/finite/blocks.py",
        "return [kernel.sum(0) for kernel in",
        "return [kernel[0] for kernel in",
        "empirical NTK in blocks: examples that are traced over",
    ),
    Mutation(
        "ntc/finite/axes.py",
        "return prod(shape[axis] for axis in self.traced)",
        "return prod(shape)",
        "empirical NTK: means over traced axes",
    ),
    Mutation(
        "ntc/finite/structured.py",
        "inputs[parameter] = site.scale * _input(",
        "inputs[parameter] = _input(",
        "structured derivatives: scale of a parameter",
    ),
    Mutation(
        "ntc/finite/structured.py",
        'params["rhs_dilation"],\n        numbers',
        "None,\n        numbers",
        "structured derivatives: dilated filters",
    ),
    Mutation(
        "ntc/finite/monte_carlo.py",
        "jnp.sqrt(s / (done * (done - 1)))",
        "jnp.sqrt(s / done)",
        "Monte Carlo: standard error of the mean, not of one network",
    ),
    Mutation(
        "ntc/finite/linearize.py",
        "sum(one / factorial(k) for k, one in enumerate(x))",
        "sum(one for k, one in enumerate(x))",
        "Taylor expansion: factorials",
    ),
    Mutation(
        "ntc/finite/linearize.py",
        "-learning_rate * t / outputs.size * values",
        "-learning_rate * t * values",
        "weights in time: the loss is a mean over targets",
    ),
    Mutation(
        "ntc/ir/ops/affine.py",
        "return self._covariance(emit, x, x.k, self.w_std, self.bias_std)",
        "return self._covariance(emit, x, x.k, 1.0, self.bias_std)",
        "weighted layers: w_std^2 of the NNGP",
    ),
    Mutation(
        "ntc/ir/ops/affine.py",
        'below = self._covariance(emit, x, x.t, self.w_std, 0.0, "below")',
        'below = self._covariance(emit, x, x.t, 1.0, 0.0, "below")',
        "weighted layers: w_std^2 of the NTK below",
    ),
    Mutation(
        "ntc/ir/ops/affine.py",
        "return emit(Add(rates), here, below)",
        "return emit(Add(rates[:1]), here)",
        "weighted layers: the NTK below",
    ),
    Mutation(
        "ntc/ir/ops/affine.py",
        "        here = y\n",
        "        return below\n        here = y\n",
        "weighted layers: the NTK of the layer itself",
    ),
    Mutation(
        "ntc/ir/ops/affine.py",
        "scale = sqrt(self.fan_in(x.type) / self.width_ratio)",
        "scale = self.fan_in(x.type) / self.width_ratio",
        "standard: power of the fan-in",
    ),
    Mutation(
        "ntc/ir/ops/affine.py",
        'scale, float(self.bias), "here")',
        'scale, 0.0, "here")',
        "standard: NTK of the bias",
    ),
    Mutation(
        "ntc/ir/ops/conv.py",
        'return self.inputs(x) * prod(per_axis("kernel", self.kernel, x.spatial))',
        "return self.inputs(x)",
        "conv, standard: filter taps in the fan-in",
    ),
    Mutation(
        "ntc/ir/ops/conv.py",
        "return Window(kernel, stride, dilation, self.padding, w_std, b_std)",
        "return Window(kernel, stride, dilation, self.padding, 1.0, b_std)",
        "conv: w_std^2",
    ),
    Mutation(
        "ntc/ir/ops/channels.py",
        "return self.groups\n",
        "return 1\n",
        "grouped_conv: channels of a group",
    ),
    Mutation(
        "ntc/ir/ops/channels.py",
        "return self.groups > 1",
        "return False",
        "grouped_conv: the law of groups of unlike channels",
    ),
    Mutation(
        "ntc/ir/ops/channels.py",
        "return Distribution.CENTERED",
        "return Distribution.GAUSSIAN",
        "depthwise_conv: the law",
    ),
    Mutation(
        "ntc/ir/build.py",
        "(0 if gaussian else below)",
        "0",
        "depthwise_conv: dependence on what is below",
    ),
    Mutation(
        "ntc/ir/ops/join.py",
        """    def keeps_channels_alike(self) -> bool:
        return False""",
        """    def keeps_channels_alike(self) -> bool:
        return True""",
        "concat: channels of several laws",
    ),
    Mutation(
        "ntc/ir/ops/conv_local.py",
        "return emit(OnDiagonal(), shared, name=name)",
        "return shared",
        "conv_local: between positions",
    ),
    Mutation(
        "ntc/ir/ops/dense.py",
        'return emit(OnDiagonal((self.axis,)), emit(scale, unit, name="every"), name=name)',
        "return emit(scale, unit, name=name)",
        "dense along an axis: a bias between positions",
    ),
    Mutation(
        "ntc/ir/ops/layer_norm.py",
        "return replace(x, k=k, t=left(x.t, common.t), v1=v1, v2=v2)",
        "return replace(x, k=k, v1=v1, v2=v2)",
        "layer_norm: the NTK of what channels have in common",
    ),
    Mutation(
        "ntc/ir/ops/learnt.py",
        "return below if self.learning_rate == 0 else emit(Add((1.0, self.learning_rate)), below, x.k)",
        "return below",
        "layer_scale: its own gradient",
    ),
    Mutation(
        "ntc/ir/ops/max_pool.py",
        "(0.5, -0.5) if axis.window == _MOST",
        "(0.5, 0.5) if axis.window == _MOST",
        "max_pool: the difference of two entries",
    ),
    Mutation(
        "ntc/ir/ops/conv_transpose.py",
        "-(-(window + stride - 2) // 2)",
        "(window + stride - 2) // 2",
        "conv_transpose: the odd padding position",
    ),
    Mutation(
        "ntc/ir/ops/conv_transpose.py",
        "return window - 1, max(window - stride, 0)",
        "return window - 1, max(window - stride, 1)",
        "conv_transpose: outputs of valid padding",
    ),
    Mutation(
        "ntc/ir/ops/conv_transpose.py",
        "padding=padding, w_std=w_std, b_std=b_std",
        "padding=padding, w_std=1.0, b_std=b_std",
        "conv_transpose: w_std^2",
    ),
    Mutation(
        "ntc/ir/kernel/linear.py",
        "k = taps.along(taps.along(k, first), first + 1)",
        "k = taps.along(k, first)",
        "linear maps: the second image",
    ),
    Mutation(
        "ntc/ir/kernel/linear.py",
        "% period",
        "% stride",
        "dilate: demand of progressions that share a factor with the stride",
    ),
    Mutation(
        "ntc/ir/resampling.py",
        "((-0.5 * x + 2.5) * x - 4.0) * x + 2.0",
        "((-0.5 * x + 2.5) * x - 4.0) * x + 2.1",
        "resize: cubic kernel between 1 and 2",
    ),
    Mutation(
        "ntc/ir/resampling.py",
        "(max(ratio, 1.0) if antialias else 1.0)",
        "1.0",
        "resize: antialiasing",
    ),
    Mutation(
        "ntc/ir/kernel/positions.py",
        "(tuple(offsets[self.axes.index(axis)] for axis in range(len(offsets))),)",
        "(tuple(offsets[axis] for axis in self.axes),)",
        "permute: demand of the inverse order",
    ),
    Mutation(
        "ntc/backends/jax/emit/linear.py",
        "x.transpose(*axes, rank, *(rank + 1 + axis for axis in axes), 2 * rank + 1)",
        "x.transpose(*axes, *range(rank, 2 * rank + 2))",
        "jax, permute: order of lanes",
    ),
    Mutation(
        "ntc/backends/jax/emit/linear.py",
        "weights = weight[:, None] * other[partners]",
        "weights = weight[:, None] * other[target.positions]",
        "jax, linear maps: weights at p'",
    ),
    Mutation(
        "ntc/ir/ops/linear.py",
        "return Affine(self.factor)",
        "return Affine(abs(self.factor) ** 0.5)",
        "scale: squared",
    ),
    Mutation(
        "ntc/ir/ops/concat_spatial.py",
        "            low += size",
        "            low += 0",
        "concat_spatial: where a branch begins",
    ),
    Mutation(
        "ntc/ir/ops/affine.py",
        "return self.b_std if self.bias else 0.0",
        "return self.b_std",
        "bias = false in the NNGP",
    ),
    Mutation(
        "ntc/ir/ops/affine.py",
        "scale, ratio = w_std / sqrt(self.fan_in(x)),",
        "scale, ratio = w_std / self.fan_in(x),",
        "finite layers: scale of the weights",
    ),
    Mutation(
        "ntc/ir/ops/activation.py",
        'emit(DualDot(self), x.k, x.v1, x.v2, name="d")',
        'emit(Dual(self), x.k, x.v1, x.v2, name="d")',
        "nonlinearity: derivative in the NTK",
    ),
    Mutation(
        "ntc/ir/ops/activation.py",
        "return (b - a) ** 2 / (2 * pi) * (pi - theta) + a * b\n",
        "return (b - a) ** 2 / pi * (pi - theta) + a * b\n",
        "relu: factor of dual_dot",
    ),
    Mutation(
        "ntc/ir/ops/activation.py",
        "self.a**2 * s / np.sqrt(determinant)",
        "self.a**2 / np.sqrt(determinant)",
        "erf: factor of dual_dot",
    ),
    Mutation(
        "ntc/ir/ops/join.py",
        "others = (other.k for j, other",
        "others = (other.t for j, other",
        "product: terms of the NTK",
    ),
    Mutation(
        "ntc/ir/ops/join.py",
        "x.type.channels / total for x in xs",
        "1 / len(xs) for x in xs",
        "concat: weights by channels",
    ),
    Mutation(
        "ntc/ir/ops/shape.py",
        "size // 2 for size in spatial",
        "(size - 1) // 2 for size in spatial",
        "index: the center of an even image",
    ),
    Mutation(
        "ntc/ir/ops/shape.py",
        "Select(tuple(p % size for p",
        "Select(tuple(max(p, 0) for p",
        "index: positions from the end",
    ),
    Mutation(
        "ntc/ir/ops/shape.py",
        'emit(Reduce("trace"), xs[0].t)',
        'emit(Reduce("mean"), xs[0].t)',
        "flatten: trace, not mean, of the NTK",
    ),
    Mutation(
        "ntc/ir/ops/pool.py",
        'reduce: ClassVar[Reduce] = Reduce("sum")',
        'reduce: ClassVar[Reduce] = Reduce("mean")',
        "global_sum_pool: sum, not mean",
    ),
    Mutation(
        "ntc/ir/sliding.py",
        "= self.stride * np.arange(self.outputs)",
        "= np.arange(self.outputs)",
        "filters: stride",
    ),
    Mutation("ntc/ir/sliding.py", "self.dilation * tap", "tap", "filters: dilation"),
    Mutation(
        "ntc/ir/sliding.py",
        "return total // 2, total - total // 2",
        "return total - total // 2, total // 2",
        "filters: the side of the odd padding position",
    ),
    Mutation(
        "ntc/ir/sliding.py",
        "return read % self.size if",
        "return np.clip(read, 0, self.size - 1) if",
        "filters: circular padding",
    ),
    Mutation(
        "ntc/ir/kernel/windows.py",
        "self.w_std**2 * k / self.taps + bias(result, self.b_std)",
        "self.w_std**2 * k + bias(result, self.b_std)",
        "window: division by the taps",
    ),
    Mutation(
        "ntc/ir/kernel/windows.py",
        "self.w_std**2 * k / self.taps + bias(result, self.b_std)",
        "self.w_std**2 * k / self.taps",
        "window: b_std^2",
    ),
    Mutation(
        "ntc/ir/kernel/windows.py",
        'if self.reduction == "edge_mean":',
        'if self.reduction == "edges":',
        "avg_pool: normalisation at the edges",
    ),
    Mutation(
        "ntc/ir/kernel/windows.py",
        '1.0 if self.reduction == "sum" else float(axis.window)',
        "1.0",
        "avg_pool: division by the window",
    ),
    Mutation(
        "ntc/ir/kernel/windows.py",
        "offsets.scaled(axis.stride).widened(axis.window)",
        "offsets.scaled(axis.stride)",
        "tracking: offsets below a pooling",
    ),
    Mutation(
        "ntc/backends/jax/emit/rows.py",
        "op.w_std**2 / op.taps",
        "op.w_std**2",
        "jax, window: division by the taps",
    ),
    Mutation(
        "ntc/ir/kernel/dense.py",
        "return np.where(on_diagonal(type_), (v1 + v2) / 2 - x, -x)",
        "return np.where(on_diagonal(type_), (v1 + v2) / 2 - x, x)",
        "distance form: its sign where p' is not p",
    ),
    Mutation(
        "ntc/ir/kernel/dense.py",
        "return np.where(on_diagonal(type_), 0.0, -(b_std**2))",
        "return np.where(on_diagonal(type_), 0.0, b_std**2)",
        "distance form: the bias where p' is not p",
    ),
    Mutation(
        "ntc/backends/jax/emit/distances.py",
        "return x if own is True else x - jnp.where(own, 0, b_std**2).astype(x.dtype)",
        "return x - b_std**2",
        "jax, distance form: biases cancel",
    ),
    Mutation(
        "ntc/backends/jax/emit/distances.py",
        "rows = jnp.any(near, axis=(*range(rank), rank + 1))",
        "rows = jnp.zeros(near.shape[rank], bool)",
        "jax, distance form: near rows from differences",
    ),
    Mutation(
        "ntc/backends/jax/run/refine.py",
        "result[name][j, i] = _transposed(values)",
        "result[name][j, i] = values",
        "near pairs: positions of the mirror image",
    ),
    Mutation(
        "ntc/backends/jax/run/refine.py",
        "np.triu(near, start + 1)",
        "np.triu(near, 1)",
        "near pairs: the diagonal in later blocks of rows",
    ),
    Mutation(
        "ntc/backends/jax/emit/relayout.py",
        "divisors = divisor[:, None] * divisor[np.minimum(target.partners, target.size - 1)]",
        "divisors = divisor[:, None] * np.ones(target.partners.shape)",
        "jax, window2: division at both images",
    ),
    Mutation(
        "ntc/backends/jax/emit/rows.py",
        "jnp.where(row <= column, x, 0) + mirrored",
        "x",
        "jax, mirror: symmetry to the last bit",
    ),
    Mutation(
        "ntc/backends/jax/emit/windows.py",
        'mode="wrap" if sliding.padding == "circular" else "constant"',
        'mode="constant"',
        "jax, filters: circular padding",
    ),
    Mutation(
        "ntc/backends/jax/emit/windows.py",
        "        first = start + tap * sliding.dilation\n        term",
        "        first = start + tap\n        term",
        "jax, filters: dilation",
    ),
    Mutation(
        "ntc/backends/jax/integrals/relu.py",
        "        cosine = jnp.where(same, 1, cosine)\n",
        "        pass\n",
        "jax, relu: correlation one on the diagonal",
    ),
    Mutation(
        "ntc/backends/jax/integrals/relu.py",
        "return dual if is_number(a * b, 0) else dual + a * b * exact",
        "return dual",
        "jax, relu: term a b K of the dual",
    ),
    Mutation(
        "ntc/backends/jax/integrals/relu.py",
        "return where(cosine < 0, acute, 0.5 - acute)",
        "return 0.5 - acute",
        "jax, relu: obtuse angles of the fast dual_dot",
    ),
    Mutation(
        "ntc/backends/jax/integrals/hinges.py",
        "jnp.where(size > h, outside, inside)",
        "inside",
        "jax, relu6 and hard_tanh: steep slopes of Owen's function",
    ),
    Mutation(
        "ntc/backends/jax/integrals/hinges.py",
        "turn = one.sign * other.sign",
        "turn = 1",
        "jax, hard_tanh: hinges of opposite signs",
    ),
    Mutation(
        "ntc/ir/ops/hinges.py",
        "(cosine + h * g) * _orthant",
        "cosine * _orthant",
        "relu6 and hard_tanh: distances in the dual",
    ),
    Mutation(
        "ntc/ir/ops/elu.py",
        "-mills_drop(p) - p * damped(p)",
        "-mills_drop(p)",
        "elu: the dual where signs differ",
    ),
    Mutation(
        "ntc/backends/jax/integrals/elu.py",
        "steepest**2 * _over_angle",
        "steepest * _over_angle",
        "jax, elu: the slope below zero in dual_dot",
    ),
    Mutation(
        "ntc/backends/jax/emit/windows.py",
        "terms.append(term if mask is None else term * mask)",
        "terms.append(term)",
        "jax, filters: zeros outside the second image",
    ),
    Mutation(
        "ntc/backends/jax/emit/scope.py",
        "same if equal is None else same & equal",
        "same",
        "jax, tiles of k(x, x): marks entries off the diagonal as well",
    ),
    Mutation(
        "ntc/plan/rolling.py",
        "before[place] = own",
        "before[place] = other",
        "rolling: what the first block reads",
    ),
    Mutation(
        "ntc/ir/kernel/windows.py",
        "low = min(max(0, first), axis.size - 1)",
        "low = min(max(0, first + 1), axis.size - 1)",
        "crop: the first position read",
    ),
    Mutation(
        "ntc/ir/kernel/windows.py",
        "return below[0] - begin, end - below[1]",
        "return below[0] - begin, 0",
        "crop: zeros after the image",
    ),
    Mutation(
        "ntc/ir/kernel/windows.py",
        "scaled(axis.stride).widened(axis.window)",
        "scaled(axis.stride).widened(axis.window - 1)",
        "track: offsets below a pooling",
    ),
    Mutation(
        "ntc/backends/jax/hyper.py",
        "values.get(number.name, number.value)",
        "number.value",
        "hyperparameters: values that are given",
    ),
    Mutation(
        "ntc/backends/jax/integrals/exponential.py",
        "is_number(weight, 0)",
        "is_number(phi.c, phi.c) or is_number(weight, 0)",
        "sinusoids: a phase that is known and not zero",
    ),
    Mutation(
        "ntc/ir/ops/dropout.py",
        "emit(DiagScale(self.keep), k)",
        "emit(DiagScale(self.keep**2), k)",
        "dropout: the divisor",
    ),
    Mutation(
        "ntc/ir/ops/dropout.py",
        "return self._scaled(emit, xs[0].t)",
        "return xs[0].t",
        "dropout: the NTK",
    ),
    Mutation(
        "ntc/ir/ops/dropout.py",
        'emit(DiagScale(self.keep), k) if self.mode == "train" else k',
        "emit(DiagScale(self.keep), k)",
        "dropout: mode = test",
    ),
    Mutation(
        "ntc/ir/kernel/diagonal.py",
        "        if len(set(result.batch)) == 2:\n            return k\n",
        "",
        "dropout: two inputs, in the reference",
    ),
    Mutation(
        "ntc/backends/jax/emit/scope.py",
        "        if len(set(type_.batch)) == 2 and equal is None:\n            return None\n",
        "",
        "dropout: two inputs",
    ),
    Mutation(
        "ntc/plan/planes.py",
        "x.step > written or (x.step == written and not x.still)",
        "x.step > written",
        "kernels: what a filter reads of the block before is written over",
    ),
    Mutation(
        "ntc/plan/planes.py",
        "if last < life.first]",
        "if last <= life.first]",
        "kernels: a plane is taken in the sweep that still reads it",
    ),
    Mutation(
        "ntc/plan/sweeps.py",
        "level[x.name] - kernel_op(x).filters for x",
        "level[x.name] for x",
        "kernels: a filter in the sweep of what it reads",
    ),
    Mutation(
        "ntc/backends/jax/pallas/filters.py",
        "_masked(row, self._mask(0, tap, number)) for",
        "row for",
        "kernels: taps that leave the second image along the first axis",
    ),
    Mutation(
        "ntc/backends/jax/pallas/filters.py",
        "_masked(total[:, first : first + inner.outputs], self._mask(1, tap, number))",
        "total[:, first : first + inner.outputs]",
        "kernels: taps that leave the second image along the last axis",
    ),
    Mutation(
        "ntc/backends/jax/pallas/strip.py",
        'start = self._start + self._once(("starts", layout_of(type_)))',
        "start = self._start",
        "kernels: what belongs to second examples, in other rows of lanes",
    ),
    Mutation(
        "ntc/backends/jax/pallas/body.py",
        "self._clear()",
        "pass",
        "kernels: margins of planes",
    ),
    Mutation(
        "ntc/ir/build.py",
        "            self._check_width(op, operands)\n",
        "",
        "dropout: on the input",
    ),
    Mutation(
        "ntc/ir/ops/layer_norm.py",
        "return k * self.dual_dot(k, v1, v2)",
        "return k * self.dual_dot(k, v1, v1)",
        "layer_norm: the variance of the second example",
    ),
    Mutation(
        "ntc/ir/ops/layer_norm.py",
        "emit(Mul(), x.t, emit(",
        "emit(Mul(), x.t, x.t, emit(",
        "layer_norm: the NTK",
    ),
    Mutation(
        "ntc/ir/kernel/diagonal.py",
        "mean = np.diagonal(v, axis1=first, axis2=first + 1).mean(-1)",
        "mean = np.diagonal(v, axis1=first, axis2=first + 1).max(-1)",
        "layer_norm: the mean over axes",
    ),
    Mutation(
        "ntc/ir/kernel/diagonal.py",
        "DIAGONAL if axis in self.axes else own",
        "DIAGONAL",
        "track: offsets below a mean of the diagonal",
    ),
    Mutation(
        "ntc/ir/ops/layer_norm.py",
        "if not x.distribution.centered:",
        "if False:",
        "layer_norm: a mean other than zero",
    ),
    Mutation(
        "ntc/ir/ops/attention.py",
        "emit(Add((1.0, 2.0)), *terms)",
        "emit(Add((1.0, 1.0)), *terms)",
        "attention: the NTK of values and readout",
    ),
    Mutation(
        "ntc/ir/ops/attention.py",
        "emit(Add((1.0, 4.0)), e_t, e)",
        "emit(Add((1.0, 2.0)), e_t, e)",
        "attention: the NTK of keys and queries",
    ),
    Mutation(
        "ntc/ir/ops/attention.py",
        "emit(Mul(), e_t, values), emit(Mul(), e, values_t)",
        "emit(Mul(), e_t, values), emit(Mul(), e_t, values)",
        "attention: the NTK below values",
    ),
    Mutation(
        "ntc/ir/ops/attention.py",
        "sides = (x.v1, x.mask1), (x.v2, x.mask2)",
        "sides = (x.v1, x.mask1), (x.v1, x.mask1)",
        "attention: weights of the second example",
    ),
    Mutation(
        "ntc/ir/ops/attention.py",
        "(share, 1 - share)",
        "(share, 1.0)",
        "attention: the share of concatenated embeddings",
    ),
    Mutation(
        "ntc/ir/kernel/attention.py",
        "exponentials.sum(-1, keepdims=True)",
        "exponentials.sum(-2, keepdims=True)",
        "attention: over which positions the softmax runs",
    ),
    Mutation(
        "ntc/ir/kernel/attention.py",
        "self.scale**2 * self.covariance(result.spatial)",
        "self.scale * self.covariance(result.spatial)",
        "attention: variance of embeddings",
    ),
    Mutation(
        "ntc/ir/kernel/attention.py",
        'order = 1 if kind == "manhattan" else 2',
        "order = 2",
        "attention: the distance",
    ),
    Mutation(
        "ntc/backends/jax/emit/attention.py",
        '"nmqr,msr->nmqs"',
        '"nmqr,mrs->nmqs"',
        "attention: the side of weights",
    ),
    Mutation(
        "ntc/backends/jax/emit/stages.py",
        "((name, entries[..., :count]), (other, entries[..., count:]))",
        "((name, entries[..., :count]), (other, entries[..., :count]))",
        "attention: marginals of the second input",
    ),
    Mutation(
        "ntc/ir/kernel/pointwise.py",
        "self.phi.dual(np.zeros_like(operands[0]), *",
        "self.phi.dual(operands[0], *",
        "dual_mean: covariance zero, in the reference",
    ),
    Mutation(
        "ntc/backends/jax/emit/rows.py",
        "dual(op.phi, jnp.zeros_like(k), *",
        "dual(op.phi, k, *",
        "dual_mean: covariance zero, in programs",
    ),
    Mutation(
        "ntc/ir/ops/layer_norm.py",
        "emit(Add((1.0, -1.0)), value, mean",
        "emit(Add((1.0, 1.0)), value, mean",
        "layer_norm after a nonlinearity: the mean is taken off",
    ),
    Mutation(
        "ntc/ir/ops/layer_norm.py",
        "without_mean(x.k, below.k, below.v1, below.v2)",
        "x.k",
        "layer_norm after a nonlinearity: the mean of the covariance",
    ),
    Mutation(
        "ntc/ir/kernel/inputs.py",
        "[:, self.start : self.start + prod(self.shape)]",
        "[:, : prod(self.shape)]",
        "several inputs: where each begins",
    ),
    Mutation(
        "ntc/ir/packing.py",
        "names[: names.index(name)]",
        "names[: names.index(name) + 1]",
        "several inputs: those that come before",
    ),
    Mutation(
        "ntc/backends/jax/result.py",
        'Kernels(found.get(kernel_label(x, "nngp")),',
        'Kernels(found.get(kernel_label(RESULT, "nngp")),',
        "named outputs: which value has the name, in programs",
    ),
    Mutation(
        "ntc/passes/translate.py",
        "pair = pairs[output.value]",
        "pair = pairs[graph.outputs[-1].value]",
        "named outputs: which value has the name, in the rules",
    ),
    Mutation(
        "ntc/stax/layout.py",
        "tuple(self.order.index(axis) for axis in range(self.axes))",
        "self.order",
        "stax: axes are put back where they were",
    ),
    Mutation(
        "ntc/stax/layout.py",
        "first = self.batch < self.channel",
        "first = True",
        "stax: examples and channels keep their order when positions are gone",
    ),
    Mutation(
        "ntc/stax/weights.py",
        "array = jnp.moveaxis(array.reshape(channels, heads, -1), 0, 1).reshape(shape)",
        "pass",
        "stax: rows of the last array of attention",
    ),
    Mutation(
        "ntc/stax/kernel.py",
        "key = (shapes, axes, dtype, kernels, repr(mask_constant))",
        "key = (shapes, axes, kernels, repr(mask_constant))",
        "stax: programs are kept by precision",
    ),
    Mutation(
        "ntc/stax/part.py",
        "fanned = fanned or isinstance(part, FanOut)",
        "pass",
        "stax: axes that branches name are those of the input",
    ),
    Mutation(
        "ntc/stax/patterns.py",
        "for end in (0, 1)",
        "for end in (1, 0)",
        "stax: tails and heads of edges",
    ),
    Mutation(
        "ntc/backends/jax/emit/stages.py",
        'jnp.concatenate([given[f"{key}.N"], given[f"{key}.M"]])',
        'jnp.concatenate([given[f"{key}.N"], given[f"{key}.N"]])',
        "stax: given variances of x2 are its own",
    ),
    Mutation(
        "ntc/stax/given.py",
        "return kernel.reverse() if kernel.is_reversed else kernel",
        "return kernel",
        "stax: kernels whose axes are stored in reverse order",
    ),
    Mutation(
        "ntc/stax/given.py",
        "in self._diagonal and not own_positions:",
        "in self._diagonal and False:",
        "stax: kernels without covariances between positions",
    ),
    Mutation(
        "ntc/ir/ops/given.py",
        "return not self.data",
        "return True",
        "stax: channels of data in a given kernel",
    ),
    Mutation(
        "ntc/stax/batching.py",
        "return whole.replace(x1_is_x2=True, cov2=None)",
        "return whole",
        "batch: the Kernel of x1 with itself",
    ),
)


def apply(mutation: Mutation, copy: Path) -> None:
    """Makes the edit. Raises ValueError if its text is not there exactly once."""
    path = copy / mutation.file
    text = path.read_text()
    if text.count(mutation.old) != 1:
        raise ValueError(f"{mutation.file}: {text.count(mutation.old)} times: {mutation.old}")
    path.write_text(text.replace(mutation.old, mutation.new))


def copy_checkout(target: Path) -> None:
    """The files that the tests need."""
    for name in COPIED:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, target / name, ignore=shutil.ignore_patterns("__pycache__"))
        elif source.exists():
            shutil.copy(source, target / name)


def killer(mutation: Mutation | None) -> str | None:
    """The first test that fails with the mutation, or None if none does."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder)
        copy_checkout(copy)
        if mutation:
            apply(mutation, copy)
        environment = {**os.environ, "PYTHONPATH": folder, "HYPOTHESIS_PROFILE": "mutate"}
        files = [f"tests/{name}.py" for name in TESTS]
        command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", *files]
        done = subprocess.run(command, cwd=copy, env=environment, capture_output=True, text=True, check=False)
    if done.returncode == 0:
        return None
    found = re.search(r"^(?:FAILED|ERROR) tests/(\S+)", done.stdout, re.MULTILINE)
    if not found:
        raise RuntimeError(f"pytest ended with exit status {done.returncode}:\n{done.stdout}{done.stderr}")
    return found.group(1)


def main() -> int:
    """Runs the mutations and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=2, help="mutations at a time")
    parser.add_argument("--only", default="", help="only mutations whose file or description has this word")
    options = parser.parse_args()
    chosen = [m for m in MUTATIONS if options.only in f"{m.file} {m.breaks}"]
    if not options.only and (failed := killer(None)):
        parser.error(f"the tests fail without a mutation: {failed}")
    print("| mutation | file | killed by |\n|---|---|---|", flush=True)
    survived = 0
    with ThreadPoolExecutor(options.jobs) as pool:
        for mutation, test in zip(chosen, pool.map(killer, chosen), strict=True):
            survived += test is None
            print(f"| {mutation.breaks} | {mutation.file} | {test or '**survived**'} |", flush=True)
    print(f"\n{len(chosen) - survived} of {len(chosen)} killed")
    return survived


if __name__ == "__main__":
    sys.exit(main())
