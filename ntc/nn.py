"""The layers by the name that users know: `import ntc.nn` and `from ntc.nn import dense` mean `ntc.frontend.nn`."""

from __future__ import annotations

import sys

from ntc.frontend import nn
from ntc.frontend.nn import *  # noqa: F403  # what editors and type checkers see

sys.modules[__name__] = nn
