# %% [markdown]
# # Depth and scales
#
# Deep networks forget what they see, or tear it apart. Which of the two happens is decided by the scales of
# weights and biases (Schoenholz et al. 2017, arXiv:1611.01232), and kernels show it without a single network.

# %%
import numpy as np
from matplotlib import pyplot as plt

import ntc
import ntc.plot
from ntc import nn

ntc.plot.activation("erf")
plt.show()

# %% [markdown]
# The right picture is the map of correlations through one layer. Its slope at one, chi_1, is below 1 in the
# ordered phase and above it in the chaotic one:

# %%
scales = {"ordered": (0.8, 0.3), "critical": (0.9, 0.0), "chaotic": (2.5, 0.3)}
axes = ntc.plot.phases("erf")
for name, (w_std, b_std) in scales.items():
    axes.plot(w_std, b_std, "k.")
    axes.annotate(name, (w_std, b_std), xytext=(4, 4), textcoords="offset points")
plt.show()

# %% [markdown]
# Two inputs of correlation one half, after up to fifty layers. The scales are hyperparameters, so one program
# of each depth serves all of them.

# %%
x = np.array([[1.0, 0.0], [0.5, 0.75**0.5]]) * 2**0.5
layer = nn.dense(64, w_std=nn.hyper(1.0, "w"), b_std=nn.hyper(0.0, "b")) >> nn.erf()
depths = (1, 2, 5, 10, 20, 50)
curves = {name: [] for name in scales}
for depth in depths:
    program = ntc.build(nn.input(2) >> nn.repeat(depth, layer), kernels=("nngp",), dtype="float64")
    for name, (w_std, b_std) in scales.items():
        k = np.asarray(program(x, hyper={"w": w_std, "b": b_std}).nngp)
        curves[name].append(k[0, 1] / np.sqrt(k[0, 0] * k[1, 1]))

figure, axes = plt.subplots(figsize=(6, 3.4))
for name, values in curves.items():
    axes.plot(depths, values, ".-", label=name)
axes.set(xlabel="layers", ylabel="correlation", xscale="log")
axes.legend()
plt.show()
