"""Freed memory that stays at hand, and how much memory there is in use."""

from __future__ import annotations

import ctypes
import sys
from pathlib import Path

import torch

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # glibc's malloc.h


def keep_freed_memory() -> None:
    """Ask glibc not to give freed memory back to the system between two steps.

    Every step frees and takes tens of megabytes again. On a virtual machine each page that comes back
    has to be faulted in again, which was measured to cost several times the arithmetic (35 s an epoch
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


def anonymous_mb() -> float | None:
    """The process's own memory in MB, without mapped files (RssAnon); None where that is not known (not Linux)."""
    try:
        lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith("RssAnon:")), None)


def gpu_mb(device: torch.device) -> dict[str, float]:
    """The most memory that tensors took on a GPU so far, in MB, as ``{"gpu": …}``; empty on a CPU."""
    return {"gpu": round(torch.cuda.max_memory_allocated(device) / 2**20)} if device.type == "cuda" else {}
