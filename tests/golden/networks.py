"""The two networks that `neural_tangents.json` names by function, in terms of `ntc.stax`."""

from __future__ import annotations

from typing import Any


def wrn(stax: Any, n: int = 2) -> Any:
    """Listing 1 of Novak et al. 2020 with n blocks per group."""

    def block(channels: int, strides: tuple[int, int] = (1, 1), project: bool = False) -> Any:
        first = stax.Conv(channels, (3, 3), strides, padding="SAME")
        main = stax.serial(stax.Relu(), first, stax.Relu(), stax.Conv(channels, (3, 3), padding="SAME"))
        shortcut = stax.Conv(channels, (3, 3), strides, padding="SAME") if project else stax.Identity()
        return stax.serial(stax.FanOut(2), stax.parallel(main, shortcut), stax.FanInSum())

    def group(channels: int, strides: tuple[int, int] = (1, 1)) -> Any:
        return stax.serial(block(channels, strides, True), *[block(channels)] * (n - 1))

    groups = group(16), group(32, (2, 2)), group(64, (2, 2))
    return stax.serial(stax.Conv(16, (3, 3), padding="SAME"), *groups, stax.GlobalAvgPool(), stax.Dense(10))


def myrtle(stax: Any, counts: tuple[int, ...] = (1, 1, 1)) -> Any:
    """The Myrtle networks of Shankar et al. 2020."""
    w = 2**0.5
    layers: list[Any] = []
    for count in counts:
        layers += [stax.Conv(1, (3, 3), W_std=w, padding="SAME"), stax.Relu()] * count
        layers.append(stax.AvgPool((2, 2), strides=(2, 2)))
    return stax.serial(*layers, stax.Flatten(), stax.Dense(1, w, 0.0))
