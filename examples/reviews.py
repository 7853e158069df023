"""Reads made-up reviews of different lengths with an infinitely wide attention network: python examples/reviews.py.

Words are vectors, of which a few are kind or unkind; "not" turns the word after it around. A convolution sees pairs of
words, attention gathers what is said anywhere in the text, and positions beyond the end of a text are masked. So is the
network of Hron et al. 2020 (arXiv:2006.10540) for reviews of films.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

import ntc
from ntc import stax

WORDS, WIDTH, LONGEST = 40, 16, 24
NOT, KIND, UNKIND = 0, range(1, 6), range(6, 11)
MISSING = 100.0
"""Marks positions beyond the end of a text."""

Array = npt.NDArray[np.float64]


def review(random: np.random.Generator, vectors: Array) -> tuple[Array, float]:
    """A text (LONGEST, WIDTH) of word vectors, and whether it is kind, 1 or -1."""
    length = int(random.integers(8, LONGEST + 1))
    words = random.integers(UNKIND.stop, WORDS, length)
    opinion = float(random.choice([-1, 1]))
    for place in range(1, length, 4):
        turned = random.random() < 0.3
        words[place - 1] = NOT if turned else words[place - 1]
        words[place] = random.choice(KIND if (opinion > 0) != turned else UNKIND)
    text = np.full((LONGEST, WIDTH), MISSING)
    text[:length] = vectors[words]
    return text, opinion


def reading() -> Callable[..., Any]:
    """The kernels of a network that sees pairs of words, what is said anywhere, and the mean over the text."""
    layers = stax.serial(
        stax.Conv(1, (2,), padding="VALID"),
        stax.Relu(),
        stax.GlobalSelfAttention(
            1, 1, 1, 1, pos_emb_type="SUM", pos_emb_decay_fn=lambda d: 1 / (1 + d**2), W_pos_emb_std=1.0
        ),
        stax.Relu(),
        stax.GlobalAvgPool(),
        stax.Dense(1),
    )
    return layers[2]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--train", type=int, default=120, help="texts to learn from")
    parser.add_argument("--test", type=int, default=60, help="texts to read")
    given = parser.parse_args()
    random = np.random.default_rng(0)
    vectors = random.standard_normal((WORDS, WIDTH))
    texts, opinions = map(
        np.array, zip(*(review(random, vectors) for _ in range(given.train + given.test)), strict=True)
    )
    x_train, x_test = texts[: given.train], texts[given.train :]
    y_train, y_test = opinions[: given.train, None], opinions[given.train :, None]
    predict = ntc.predict.gradient_descent_mse_ensemble(
        reading(), x_train, y_train, diag_reg=1e-4, mask_constant=MISSING
    )
    means = predict(x_test=x_test, get=("nngp", "ntk"))
    for kernel in ("nngp", "ntk"):
        accuracy = float(np.mean(np.sign(getattr(means, kernel)) == y_test))
        print(f"{kernel}: {accuracy:.2f} of {given.test} reviews read as they were meant")


if __name__ == "__main__":
    main()
