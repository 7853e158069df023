# %% [markdown]
# # A posterior
#
# An infinitely wide network whose weights are random is a Gaussian process. Its covariance is the NNGP kernel,
# so what it says after seeing data is known exactly: no network is trained.

# %%
import numpy as np
from matplotlib import pyplot as plt

import ntc
import ntc.plot
from ntc import nn

network = nn.input(1) >> nn.dense(512, w_std=2.0, b_std=1.0) >> nn.erf() >> nn.dense(1)
program = ntc.build(network, dtype="float64")

# %% [markdown]
# Functions that such networks draw before they have seen anything:

# %%
x = np.linspace(-5, 5, 201)[:, None]
prior = np.asarray(program(x).nngp)
functions = ntc.predict.sample(np.zeros((201, 1)), prior + 1e-9 * np.eye(201), 4, seed=0)

figure, axes = plt.subplots(figsize=(6, 3))
axes.plot(x, functions[:, :, 0].T)
axes.set(title="four networks before training")
plt.show()

# %% [markdown]
# Five values are given. `regress` returns the mean and the variance at every x; `diag_reg` is the noise of the
# values, over the mean of the diagonal of the kernel.

# %%
x_train = np.array([[-3.0], [-1.5], [0.0], [0.7], [2.5]])
y_train = np.sin(2 * x_train)
law = ntc.predict.regress(program, x_train, y_train, x, "nngp", diag_reg=1e-6)
ntc.plot.posterior(x, law, x_train, y_train)
plt.show()

# %% [markdown]
# Training all layers by gradient descent, instead of the last one, ends at the same kind of prediction with
# another kernel, the NTK. `t` stops training in the middle.

# %%
ensemble = ntc.predict.gradient_descent_mse_ensemble(program, x_train, y_train)
figure, panels = plt.subplots(1, 3, figsize=(11, 3), sharey=True)
for axes, t in zip(panels, (1.0, 10.0, None), strict=True):
    mean, covariance = ensemble(t=t, x_test=x, get="ntk", compute_cov=True)
    posterior = ntc.predict.Posterior(np.asarray(mean), np.maximum(np.diagonal(covariance), 0))
    ntc.plot.posterior(x, posterior, x_train, y_train, axes=axes)
    axes.set(title="trained to the end" if t is None else f"time {t:g}")
plt.show()

# %% [markdown]
# Which scale of weights explains the data best? `hyper` makes it an argument of the compiled program, and
# `fit_hyper` maximises the evidence over it.

# %%
tuned = nn.input(1) >> nn.dense(512, w_std=nn.hyper(2.0, "slope"), b_std=1.0) >> nn.erf() >> nn.dense(1)
adjustable = ntc.build(tuned, kernels=("nngp",), dtype="float64")
found = ntc.predict.fit_hyper(adjustable, x_train, y_train, diag_reg=1e-3)
print(found.parameters, "log evidence", round(found.value, 2))
