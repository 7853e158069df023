# %% [markdown]
# # Digits
#
# Three infinitely wide networks read handwritten digits: what does an architecture know before it is trained?

# %%
import numpy as np
from matplotlib import pyplot as plt
from sklearn.datasets import load_digits

import ntc
import ntc.plot
from ntc import nn

pixels, labels = load_digits(return_X_y=True)
images = (pixels / 16).reshape(-1, 8, 8, 1).astype(np.float32)
order = np.random.default_rng(0).permutation(len(images))
train, test = order[:300], order[300:500]

scales = {"w_std": 1.4, "b_std": 0.1}
conv = nn.conv(64, 3, **scales) >> nn.relu()
networks = {
    "fully connected": nn.input(8, 8, 1) >> nn.flatten() >> nn.repeat(3, nn.dense(64, **scales) >> nn.relu()),
    "convolutional": nn.input(8, 8, 1) >> nn.repeat(3, conv) >> nn.flatten(),
    "with pooling": nn.input(8, 8, 1) >> conv >> nn.avg_pool(2) >> conv >> nn.global_avg_pool(),
}
programs = {name: ntc.build(network >> nn.dense(10)) for name, network in networks.items()}

# %% [markdown]
# Kernels of sixty digits in the order of their classes: the better an architecture, the clearer the blocks.

# %%
few = train[:60]
figure, panels = plt.subplots(1, 3, figsize=(12, 3.6), layout="constrained")
for axes, (name, program) in zip(panels, programs.items(), strict=True):
    ntc.plot.kernel(program(images[few]).ntk, labels=labels[few], correlation=True, axes=axes)
    axes.set(title=name)
plt.show()

# %%
targets = ntc.predict.one_hot(labels[train], 10)
laws = {}
for name, program in programs.items():
    laws[name] = ntc.predict.regress(program, images[train], targets, images[test], "ntk", diag_reg=1e-3)
    print(f"{name:16} {ntc.predict.accuracy(laws[name].mean, labels[test]):.3f}")

# %%
best = laws["convolutional"]
ntc.plot.confusion(labels[test], best.mean.argmax(axis=1))
plt.show()

# %% [markdown]
# The digits that the network is least sure of:

# %%
margin = np.diff(np.sort(best.mean, axis=1)[:, -2:], axis=1)[:, 0]
figure, panels = plt.subplots(1, 6, figsize=(9, 1.8))
for axes, i in zip(panels, np.argsort(margin)[:6], strict=True):
    axes.imshow(images[test[i], :, :, 0], cmap="gray_r")
    axes.set_title(f"{labels[test[i]]}, read {best.mean[i].argmax()}", fontsize=9)
    axes.axis("off")
plt.show()
