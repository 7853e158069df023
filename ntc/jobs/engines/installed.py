"""What to say where the package of an engine is not installed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from ntc.errors import UnsupportedError


@contextmanager
def needed(extra: str) -> Iterator[None]:
    """Around imports: UnsupportedError, with what to install, in place of ImportError."""
    try:
        yield
    except ImportError as error:
        hint = f'pip install "neural-tangent-compiler[{extra}]"'
        raise UnsupportedError(f"the engine {extra} is not installed ({error})", hint=hint) from None
