"""Kernels by name: what `get` asks for, in any case, and the named tuple that answers it."""

from __future__ import annotations

from collections import namedtuple
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from ntc.errors import InputError

Get = str | Sequence[str] | None


def names_of(get: Get, default: Sequence[str]) -> tuple[Any, ...]:
    """What `get` asks for, each once: names in lower case, and what is no name as it is."""
    given = tuple(default) if get is None else (get,) if isinstance(get, str) else tuple(get)
    return tuple(dict.fromkeys(name.lower() if isinstance(name, str) else name for name in given))


def asked(get: Get, known: Sequence[str], default: Sequence[str]) -> tuple[str, ...]:
    """The names in lower case, each once. Raises InputError for one that is not known, and for none."""
    names = names_of(get, default)
    if not names or not set(names) <= set(known):
        raise InputError(f"get should be {', '.join(known)}, or a tuple of them, got {get!r:.60}")
    return names


def answered(type_name: str, get: Get, default: Sequence[str], values: Mapping[str, Any]) -> Any:
    """The value of one name, or a named tuple of those of several, in the order in which they were asked for.

    Fields are named as they were given, and read in any case. A name that is given twice comes twice; the second time
    its field is called by its place, as `namedtuple` does.
    """
    if isinstance(get, str):
        return values[get.lower()]
    names = tuple(default if get is None else get)
    return _named_tuple(type_name, names)(*(values[name.lower()] for name in names))


class _AnyCase:
    __slots__ = ()
    _fields: tuple[str, ...]

    def __getattr__(self, name: str) -> Any:
        for field in self._fields:
            if field.lower() == name.lower() and field != name:
                return getattr(self, field)
        raise AttributeError(f"{type(self).__name__} has no field {name!r}, only {', '.join(self._fields)}")


@lru_cache
def _named_tuple(type_name: str, names: tuple[str, ...]) -> Any:
    """One class for equal names, so that results of two calls are equal pytrees."""
    plain = namedtuple("plain", names, rename=True)  # type: ignore[misc]
    return type(type_name, (_AnyCase, plain), {"__slots__": ()})
