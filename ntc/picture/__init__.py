"""A network and its kernel graph as one page of HTML."""

from __future__ import annotations

from ntc.picture.page import page

__all__ = ["page"]
