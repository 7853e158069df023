"""Writes docs/importing.md: how to import a module, and what is recognised: python -m tools.importing."""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from pathlib import Path

from ntc.backends.jax.formulas.scalar_program import ENTRYWISE
from ntc.importing.aten import ATEN
from ntc.importing.recognise import HARD
from ntc.importing.recognise.refused import REASONS
from ntc.importing.recogniser import MOVES, REDUCTIONS

DOCUMENT = Path(__file__).resolve().parent.parent / "docs" / "importing.md"

HEAD = """# Networks that you already have

Written by `python -m tools.importing`; the tables are those of the recogniser.

`ntc.from_jax(f, params, x)` reads any JAX function of parameters and examples, so modules of Flax and Equinox, and
`ntc.from_torch(module, x)` modules of PyTorch. What comes back is a network like any other: its kernels, its program,
its finite networks, and a table of what became of every parameter.

## From a Flax model to a prediction in twenty lines

```text
import flax.linen as nn, jax, jax.numpy as jnp, numpy as np
import ntc, ntc.predict
from sklearn.datasets import load_digits

class CNN(nn.Module):
    @nn.compact
    def __call__(self, x):
        for width in (32, 64):
            x = nn.relu(nn.LayerNorm()(nn.Conv(width, (3, 3))(x)))
            x = nn.avg_pool(x, (2, 2), strides=(2, 2))
        return nn.Dense(10)(x.mean((1, 2)))

images, labels = load_digits(return_X_y=True)
x = (images / 16).reshape(-1, 8, 8, 1).astype(np.float32)
y = np.eye(10, dtype=np.float32)[labels] - 0.1
module = CNN()
imported = ntc.from_jax(module.apply, lambda key: module.init(key, x[:1]), x[:1])
print(imported.table)
posterior = ntc.predict.regress(imported.build(), x[:300], y[:300], x[300:400], kernel="ntk", diag_reg=1e-4)
print((posterior.mean.argmax(1) == labels[300:400]).mean())
```

The same with PyTorch is `ntc.from_torch(module.eval(), x)`, with examples (N, channels, height, width); needs
`pip install "neural-tangent-compiler[torch]"`. On the command line, `model.py:build_model` stands wherever a model file
does: it is a function that returns `(f, params, x)`, `(module, x)`, what `from_jax` gives, or a network of `ntc.nn`.
The code is run. `ntc import model.py:build_model -o model.nt` writes the network as a model file.

## What is taken from where

* **Scales** are measured: of `params` as they are drawn, or, where `params` is the function that draws them, of eight
  draws. One that agrees within chance with LeCun's, He's, Glorot's or PyTorch's is taken to be that
  (`named_scales=False` keeps what was measured); `scales={"params/Dense_0/kernel": 1.5}` gives one.
* **Parameterisation** is `standard`, as libraries draw weights, so that the NTK is that of the module itself;
  `parameterization="ntk"` changes that. Learnt scales and shifts of normalisations are learnt in the network as well:
  `layer_scale` and `bias`.
* **Parameters** of the module are those of the finite network: `imported.params(params)`, and
  `imported.apply(params, x)` has the values of the module, to rounding.
* **Nonlinearities** are recognised by their values, whatever they are written with; others become formulas.
* **Normalisations** are recognised by their values, too. Batch norm in inference mode is a scale.
* **Constants** that are closed over, and collections called `batch_stats`, are not trained.

What has no limit, or is not recognised, is an error that lists all such places, each with its module, file and line,
why, and what would do. With `on_missing="monte_carlo"`, kernels are then means over random networks, with standard
errors: `estimated.kernels(x, n_samples=100)`.

A residual block that ends in a nonlinearity behind its sum, as in the first ResNets and in torchvision's, has no
Gaussian limit where a branch of the sum is itself the output of a nonlinearity: the kernel would be an integral over
all blocks before. Blocks that begin with their nonlinearity (He et al. 2016, arXiv:1603.05027) have one.

Self-attention is read where its limit is known (Hron et al. 2020, arXiv:2006.10540): scores of keys with themselves,
divided by the number of their channels, a softmax, no biases for keys and values, `parameterization="ntk"`.
"""

BECOMES = {
    "dot_general": "`dense`, along positions too, `self_attention`; of patches `conv`, of images `flatten` and `dense`",
    "conv_general_dilated": "`conv`, `grouped_conv`, `depthwise_conv`, behind `pad` where padding is of another kind",
    "reduce_window_sum": "`sum_pool`, `avg_pool` where it is divided by the size of the window",
    "reduce_window_max": "nothing: max pooling has no limit here",
    "concatenate": "`concat`, `concat_spatial`, `class_token`",
    "slice": "`slice`, `index`",
    "split": "`slice` along positions",
    "pad": "`pad`",
    "join": "arithmetic of several values: `sum`, `product`",
    "step": "arithmetic with an array of parameters: the bias of a layer, `bias`, `layer_scale`, `scale`",
    "positions": "a sum over spatial axes: `global_avg_pool`, `global_sum_pool`, `mix`",
}


def words(names: Iterable[str]) -> str:
    """Names as code, in order."""
    return ", ".join(f"`{name}`" for name in sorted(names))


def document() -> str:
    """The page."""
    rows = "\n".join(f"| `{name}` | {BECOMES[name]} |" for name in HARD)
    reasons = "\n".join(f"| `{name}` | {what}: {why} | {instead} |" for name, (what, why, instead) in REASONS.items())
    return f"""{HEAD}
## Primitives of JAX

| primitive | becomes |
|---|---|
{rows}

In between, of one value: a nonlinearity, a scale or a normalisation are made of
{words(ENTRYWISE)}; sums of {words(REDUCTIONS)}; axes are followed through {words(MOVES)}. Calls (`jit`, `remat`,
`custom_jvp`, ...) are written out, and so is `scan` over layers whose parameters are rows of arrays.

| not recognised | why | instead |
|---|---|---|
{reasons}

Any other primitive is named in the error.

## Operators of PyTorch

{words(ATEN)}, in any overload. Others are named in the error.
"""


def main() -> None:
    """Writes the document."""
    argparse.ArgumentParser(description=__doc__).parse_args()
    DOCUMENT.write_text(document())


if __name__ == "__main__":
    main()
