"""Peak memory of this process. No imports but the standard library's: both sides of a comparison use it."""

import resource
import sys


def peak_memory() -> int:
    """Bytes that were resident at most since the program began.

    Where the system tells it, without what the process that started this one had: `ru_maxrss` is handed down.
    """
    try:
        with open("/proc/self/status") as status:
            return next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmHWM:"))
    except (OSError, StopIteration):
        unit = 1 if sys.platform == "darwin" else 1024
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
