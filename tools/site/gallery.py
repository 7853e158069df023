"""The gallery: pictures that are drawn while the site is built, with the lines that draw them."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any

SCENES = {
    "kernel": (
        "The NTK of handwritten digits, in the order of their classes",
        """
from sklearn.datasets import load_digits

pixels, labels = load_digits(return_X_y=True)
x, y = pixels[:300] / 16, labels[:300]
network = nn.input(64) >> nn.dense(512, w_std=1.5, b_std=0.1) >> nn.erf() >> nn.dense(1)
kernels = ntc.build(network)(x)
axes = ntc.plot.kernel(kernels.ntk, labels=y, correlation=True)
""",
    ),
    "spectrum": (
        "Its eigenvalues: a value of `diag_reg` is a height in this picture",
        """
axes = ntc.plot.spectrum(kernels.ntk)
""",
    ),
    "posterior": (
        "A posterior over one number",
        """
program = ntc.build(nn.input(1) >> nn.dense(512, w_std=2, b_std=1) >> nn.erf() >> nn.dense(1), dtype="float64")
x_train = np.array([[-3.0], [-1.5], [0.0], [0.7], [2.5]])
y_train = np.sin(2 * x_train)
x_test = np.linspace(-5, 5, 200)[:, None]
law = ntc.predict.regress(program, x_train, y_train, x_test, "nngp", 1e-6)
axes = ntc.plot.posterior(x_test, law, x_train, y_train)
""",
    ),
    "phases": (
        "Order and chaos: where the layers of a network lie",
        """
axes = ntc.plot.phases(network)
""",
    ),
    "activation": (
        "A nonlinearity of one's own, and what it does to correlations",
        """
axes = ntc.plot.activation("activation(x * sigmoid(x))")[0]
""",
    ),
    "confusion": (
        "Digits that are taken for others",
        """
law = ntc.predict.regress(ntc.build(network), x[:200], ntc.predict.one_hot(y[:200], 10), x[200:], "nngp", 1e-3)
axes = ntc.plot.confusion(y[200:], law.mean.argmax(axis=1))
""",
    ),
    "calibration": (
        "Probabilities, and how often they are right",
        """
axes = ntc.plot.calibration(ntc.predict.class_probabilities(law), y[200:])
""",
    ),
}
"""What is drawn by the lines, one after another in one namespace."""

HEAD = """# Gallery

Drawn by the lines beside them, while these pages were built, after

```python
import numpy as np
import ntc, ntc.plot
from ntc import nn
```
"""
TAIL = """
## From the reproductions

![Accuracy over variances of weights and biases](phases.png)

![Errors of finite networks](convergence.png)

![Training dynamics of an ensemble](ensemble.png)

More, with the commands, in [Reproductions](reproductions.md).
"""


def pages() -> Iterator[tuple[str, str | bytes]]:
    """Places in the site and what is there."""
    import numpy as np

    import ntc
    import ntc.plot
    from ntc import nn

    names: dict[str, Any] = {"np": np, "ntc": ntc, "nn": nn}
    parts = [HEAD]
    for name, (title, code) in SCENES.items():
        exec(code, names)
        file = io.BytesIO()
        names["axes"].figure.savefig(file, format="png", dpi=80)
        yield f"gallery/{name}.png", file.getvalue()
        parts.append(f"## {title}\n\n![{title}](gallery/{name}.png)\n\n```python\n{code.strip()}\n```\n")
    yield "gallery.md", "\n".join(parts) + TAIL
