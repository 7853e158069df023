"""The layers of Neural Tangents, compiled: `from ntc import stax` in place of `from neural_tangents import stax`.

A layer is a triple (init_fn, apply_fn, kernel_fn). docs/migrating.md says what is not here.
"""

from ntc.stax.combinators import FanInConcat, FanInProd, FanInSum, FanOut, parallel, repeat, serial
from ntc.stax.elementwise import (
    Abs,
    ABRelu,
    Cos,
    Erf,
    Exp,
    ExpNormalized,
    Gabor,
    Gaussian,
    Gelu,
    Hermite,
    LeakyRelu,
    Monomial,
    Polynomial,
    Rbf,
    RectifiedMonomial,
    Relu,
    Sigmoid_like,
    Sign,
    Sin,
)
from ntc.stax.layers import (
    Aggregate,
    AvgPool,
    Conv,
    ConvLocal,
    ConvTranspose,
    Dense,
    Dropout,
    Flatten,
    GlobalAvgPool,
    GlobalSumPool,
    Identity,
    ImageResize,
    Index,
    LayerNorm,
    Slice,
    SumPool,
)

__all__ = [name for name in dir() if name[0].isupper() or name in ("parallel", "repeat", "serial")]
