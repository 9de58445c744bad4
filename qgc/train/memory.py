"""Freed memory that stays at hand."""

from __future__ import annotations

import ctypes
import sys

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # glibc's malloc.h


def keep_freed_memory() -> None:
    """Ask glibc not to give freed memory back to the system between two steps.

    Every step frees and takes tens of megabytes again. On a virtual machine each page that comes back
    has to be faulted in anew, which was measured to cost several times the arithmetic (35 s an epoch
    became 3 s). Other systems' allocators are left as they are.
    """
    if not sys.platform.startswith("linux"):
        return
    try:
        mallopt = ctypes.CDLL("libc.so.6").mallopt
    except (OSError, AttributeError):  # another C library
        return
    mallopt(M_MMAP_THRESHOLD, 2**30)
    mallopt(M_TRIM_THRESHOLD, 2**31 - 1)
