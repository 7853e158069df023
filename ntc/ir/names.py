"""What people call layers and parameters elsewhere, for hints."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from difflib import get_close_matches

_ELSEWHERE: Mapping[str, str] = {
    # layers
    **dict.fromkeys(("linear", "fc", "fully_connected", "affine"), "dense"),
    **dict.fromkeys(("conv1d", "conv2d", "conv3d", "convolution"), "conv"),
    **dict.fromkeys(("conv2dtranspose", "convtranspose2d", "deconv"), "conv_transpose"),
    **dict.fromkeys(("avgpool", "avgpool2d", "averagepooling2d", "mean_pool"), "avg_pool"),
    **dict.fromkeys(("maxpool", "maxpool2d", "maxpooling2d"), "max_pool"),
    **dict.fromkeys(("globalavgpool", "adaptive_avg_pool", "gap"), "global_avg_pool"),
    **dict.fromkeys(("batchnorm", "batchnorm2d", "bn"), "batch_norm"),
    **dict.fromkeys(("layernorm", "ln", "norm"), "layer_norm"),
    **dict.fromkeys(("silu", "swish1"), "swish"),
    **dict.fromkeys(("attention", "multi_head_attention", "mha"), "self_attention"),
    **dict.fromkeys(("residual", "skip", "add", "fanout", "faninsum", "fan_in_sum"), "sum"),
    **dict.fromkeys(("multiply", "mul", "gate", "faninprod"), "product"),
    **dict.fromkeys(("concatenate", "cat", "faninconcat"), "concat"),
    **dict.fromkeys(("logistic",), "sigmoid"),
    **dict.fromkeys(("shortcut", "skip_connection"), "identity"),
    # parameters
    **dict.fromkeys(("kernel_size", "filter_shape", "filter_size"), "kernel"),
    **dict.fromkeys(("strides",), "stride"),
    **dict.fromkeys(("pad",), "padding"),
    **dict.fromkeys(("units", "out_features", "out_dim", "width"), "features"),
    **dict.fromkeys(("filters", "out_channels", "out_chan"), "channels"),
    **dict.fromkeys(("window_shape", "pool_size"), "window"),
    **dict.fromkeys(("use_bias",), "bias"),
    **dict.fromkeys(("sigma_w", "weight_std"), "w_std"),
    **dict.fromkeys(("sigma_b", "bias_std"), "b_std"),
    **dict.fromkeys(("num_heads", "n_heads"), "heads"),
}

_VARIANCES = {
    **dict.fromkeys(("w_var", "weight_variance", "sigma_w2"), "w_std"),
    **dict.fromkeys(("b_var", "bias_variance", "sigma_b2"), "b_std"),
}


def did_you_mean(word: str, known: Collection[str]) -> str | None:
    """A hint that names the known word that is meant: what a word of another library is here, else the same in other
    cases, or the nearest in spelling, if one is near."""
    plain = {name.lower(): name for name in reversed(list(known))}
    if _VARIANCES.get(word.lower()) in known:
        return f"scales are standard deviations: {_VARIANCES[word.lower()]} = sqrt(variance)"
    meant = _ELSEWHERE.get(word.lower())
    if meant not in known:
        meant = plain.get(word.lower()) or next(iter(get_close_matches(word, known, n=1)), None)
    return f"did you mean `{meant}`?" if meant else None
