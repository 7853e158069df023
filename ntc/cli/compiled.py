"""Where the command line keeps what XLA has compiled, so that a second call of a command does not compile again."""

from __future__ import annotations

import os
from pathlib import Path

from platformdirs import user_cache_path

_LEAST_SECONDS = 0.1
"""What compiles faster is not kept."""


def compiled_path() -> Path:
    """The folder of compiled programs of this user."""
    return user_cache_path("ntc") / "xla"


def keep_compiled() -> None:
    """Tells JAX to keep compiled programs in the user's cache directory.

    Not where the user has chosen a directory (JAX_COMPILATION_CACHE_DIR) or none (JAX_ENABLE_COMPILATION_CACHE=0), or
    where the directory cannot be written.
    """
    import jax

    chosen, wanted = (
        getattr(jax.config, f"jax_{name}") for name in ("compilation_cache_dir", "enable_compilation_cache")
    )
    if chosen or not wanted:
        return
    path = compiled_path()
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError:
        return
    if os.access(path, os.W_OK):
        jax.config.update("jax_compilation_cache_dir", str(path))  # type: ignore[no-untyped-call]
        jax.config.update("jax_persistent_cache_min_compile_time_secs", _LEAST_SECONDS)  # type: ignore[no-untyped-call]
