# %% [markdown]
# # Finite and infinite
#
# How wide is wide? The same network at finite width has random kernels; their mean over many networks goes to
# the infinite one.

# %%
import jax
import jax.numpy as jnp
import numpy as np
from matplotlib import pyplot as plt

import ntc
import ntc.plot
from ntc import nn
from ntc.finite.convergence import convergence

jax.config.update("jax_enable_x64", True)


def network(width):
    return nn.input(8) >> nn.dense(width, w_std=1.4) >> nn.relu() >> nn.dense(1)


program = ntc.build(network(64), dtype="float64")
x = np.random.default_rng(0).normal(size=(6, 8))

# %% [markdown]
# The error of Monte Carlo kernels falls as one over the root of the number of networks times their width:

# %%
found = convergence(program, x, (8, 32, 128), (1, 4, 16), jax.random.key(0))
ntc.plot.convergence(found)
plt.show()

# %% [markdown]
# A network of finite width that is trained by gradient descent on the mean square follows what its kernel at
# the beginning says, the better the wider it is (Lee et al. 2019, arXiv:1902.06720).

# %%
y = np.random.default_rng(1).normal(size=(6, 1))
rate, steps = 0.05, 500


def trained(width, key):
    """The outputs of one network after training, and those of its linearisation."""
    finite = ntc.build(network(width), dtype="float64")
    first = finite.init(key)

    def descend(f):
        def loss(params):
            return 0.5 * jnp.mean((f(params, x) - y) ** 2)

        def step(_, params):
            return jax.tree.map(lambda p, g: p - rate * g, params, jax.grad(loss)(params))

        return f(jax.lax.fori_loop(0, steps, step, first), x)

    return descend(finite.apply), descend(ntc.linearize(finite.apply, first))


widths = (16, 64, 256)
gaps = []
for width in widths:
    outputs = [trained(width, jax.random.key(seed)) for seed in range(2)]
    gaps.append(np.sqrt(np.mean([(a - b) ** 2 for a, b in outputs])))

figure, axes = plt.subplots(figsize=(5, 3.4))
axes.loglog(widths, gaps, "o-", label="network and its linearisation")
axes.loglog(widths, gaps[0] * np.sqrt(widths[0] / np.array(widths)), "k--", label="1 / sqrt(width)")
axes.set(xlabel="width", ylabel="root mean square difference")
axes.legend()
plt.show()
