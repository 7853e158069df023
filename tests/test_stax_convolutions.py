"""Convolutions of `ntc.stax` beside those of JAX: axes by letters, filters without axes, and ratios of widths."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import ntc
from ntc import stax
from ntc.errors import ParameterError, ShapeError
from tests.assertions import assert_close

KEY = jax.random.PRNGKey(4)
SIZES = {"N": 2, "C": 3, "H": 5, "W": 4, "D": 3}
CASES = {
    "filter in another order": ("Conv", (3, 1), (1, 1), ("NHWC", "WHIO", "NHWC"), "SAME"),
    "strides in that of the filter": ("Conv", (3, 2), (2, 1), ("NHWC", "WHIO", "NHWC"), "VALID"),
    "output in another order": ("Conv", (3, 2), (2, 1), ("NCHW", "OIHW", "NWHC"), "SAME"),
    "three axes": ("Conv", (3, 2, 1), (2, 1, 1), ("NHWDC", "DHWIO", "NWDHC"), "SAME"),
    "transposed": ("ConvTranspose", (3, 2), (2, 1), ("NHWC", "WIOH", "CHNW"), "VALID"),
    "local": ("ConvLocal", (3, 2), (2, 1), ("NHWC", "WIHO", "CWNH"), "SAME"),
    "local, axes of the input in another order": ("ConvLocal", (3, 2), (2, 1), ("NWCH", "HWIO", "NWHC"), "VALID"),
}


def by_jax(kind: str, x: Any, w: Any, sizes: Any, strides: Any, numbers: Any, padding: str) -> Any:
    match kind:
        case "ConvTranspose":
            return jax.lax.conv_transpose(x, w, strides, padding, dimension_numbers=numbers)
        case "ConvLocal":
            return jax.lax.conv_general_dilated_local(x, w, strides, padding, sizes, dimension_numbers=numbers)
    return jax.lax.conv_general_dilated(x, w, strides, padding, dimension_numbers=numbers)


@pytest.mark.parametrize("name", CASES)
def test_axes_are_those_of_jax(name: str) -> None:
    """Protects what sizes and strides of filters mean: they are in the order of the filter's letters. The NTK of one
    layer does not depend on its weights, so that of the finite layer is the kernel."""
    kind, sizes, strides, numbers, padding = CASES[name]
    with jax.enable_x64(True):
        shape = [SIZES[letter] for letter in numbers[0]]
        x1, x2 = (jax.random.normal(key, shape) for key in jax.random.split(KEY))
        init_fn, apply_fn, kernel_fn = getattr(stax, kind)(
            6, sizes, strides, padding, 1.3, 0.2, numbers, parameterization="standard"
        )
        out, params = init_fn(KEY, shape)
        y = by_jax(kind, x1, params[0], sizes, strides, numbers, padding) + params[1]
        assert out == y.shape
        assert_close(apply_fn(params, x1), y, "rounding")
        at, channels = numbers[2].index("N"), numbers[2].index("C")
        empirical = ntc.empirical_ntk_fn(apply_fn, trace_axes=(channels,))(x1, x2, params)
        first = 2 * (at - (channels < at))
        wanted = np.moveaxis(np.asarray(empirical), (first, first + 1), (0, 1))
        kernel = kernel_fn(x1, x2)
        assert kernel.shape1 == (*out[:channels], 6, *out[channels + 1 :])
        assert_close(kernel.ntk, wanted, "float64")


@pytest.mark.parametrize("kind", ["Conv", "ConvTranspose", "ConvLocal"])
@pytest.mark.parametrize("parameterization", ["ntk", "standard"])
def test_filters_without_axes_are_dense_layers(kind: str, parameterization: Any) -> None:
    """Protects convolutions of inputs without positions, of which there may be several in one network."""
    x = jax.random.normal(KEY, (3, 4))
    settings: Any = {"W_std": 1.4, "b_std": 0.3, "parameterization": parameterization}
    dense, conv = stax.Dense(5, **settings), getattr(stax, kind)(5, (), **settings)
    params = dense[0](KEY, x.shape)[1]
    np.testing.assert_array_equal(conv[0](KEY, x.shape)[1][0], params[0])
    np.testing.assert_array_equal(conv[1](params, x), dense[1](params, x))
    np.testing.assert_array_equal(conv[2](x, None, "ntk"), dense[2](x, None, "ntk"))
    turned = stax.Conv(5, (), dimension_numbers=("CN", "OI", "NC"), **settings)
    np.testing.assert_array_equal(turned[2](x.T, None, "ntk"), dense[2](x, None, "ntk"))
    assert_close(turned[1]((params[0].T, params[1]), x.T), dense[1](params, x), "float32")
    with pytest.raises(ShapeError, match="2 spatial axes"):
        conv[2](jnp.ones((2, 3, 3, 1)))
    with pytest.raises(ParameterError, match="2 axes, and 1 sizes"):
        stax.Conv(3, (3, 3), (1,))


def test_ratios_of_widths_belong_to_the_standard_parameterization() -> None:
    """Protects `s` where it has no meaning: neither widths nor kernels change. In the standard parameterization both
    do: Theta' = n / r K + 1 + w_std^2 Theta (Sohl-Dickstein et al. 2020)."""
    x = jax.random.normal(KEY, (3, 4))
    for layer, arguments in ((stax.Dense, (5,)), (stax.Conv, (5, ()))):
        plain, wide = (layer(*arguments, W_std=1.5, b_std=0.1, s=s) for s in ((1, 1), (2, 3)))
        assert wide[0](KEY, x.shape)[0] == plain[0](KEY, x.shape)[0] == (3, 5)
        np.testing.assert_array_equal(wide[2](x, None, "ntk"), plain[2](x, None, "ntk"))
        standard = layer(*arguments, W_std=1.5, b_std=0.1, parameterization="standard", s=(2, 3))
        assert standard[0](KEY, x.shape)[0] == (3, 15)
        assert_close(standard[2](x, None, "ntk"), np.asarray(x @ x.T) / 2 + 1, "float32")
