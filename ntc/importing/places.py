"""Where an equation of a traced function was written: the module that did it, the file and the line."""

from __future__ import annotations

import sysconfig
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ntc.importing.graph import Place

PlaceOf = Callable[[Any, str, Place], Place]
"""From an equation, the scopes around it and the place of the call around it, to its place."""

LIBRARIES = tuple(str(Path(sysconfig.get_paths()[x])) for x in ("purelib", "platlib", "stdlib"))
_OWN = str(Path(__file__).parents[1])


def scope_of(equation: Any, around: str) -> str:
    """The names of the scopes around an equation, outermost first, without those of transformations."""
    own = [x for x in str(equation.source_info.name_stack).split("/") if x and "(" not in x]
    return "/".join([*([around] if around else []), *own])


def place_of_equation(equation: Any, scope: str, around: Place) -> Place:
    """The module is the scope that libraries of layers name; the line is the innermost that is in no library."""
    file, line = around.file, around.line
    traceback = equation.source_info.traceback
    for frame in traceback.frames if traceback is not None else ():
        if not frame.file_name.startswith((*LIBRARIES, _OWN, "<")):
            file, line = Path(frame.file_name).name, frame.line_num
            break
    return Place(scope or around.module, file, line)
