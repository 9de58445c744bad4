"""One training run on several processes or machines, as ``torchrun`` starts them, with the same result as on one.

The batch of a step is cut into a fixed number of shards. Each has its own random numbers, and their gradients are added
in the order of one fixed tree; so it makes no difference, not even to the last digit, whether one process works through
all shards or several share them.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta

import torch
import torch.distributed as dist
from torch import Tensor

from ...errors import QGCError


class ProcessGroup:
    """The processes that train together; ``rank`` (0: the main one) is this one's number of ``size``."""

    def __init__(self, rank: int = 0, size: int = 1, device: torch.device | str = "cpu"):
        self.rank, self.size, self.device = rank, size, torch.device(device)

    @property
    def is_main_process(self) -> bool:
        """Whether this process writes the files and shows the progress."""
        return self.rank == 0

    def shards(self, count: int) -> range:
        """The shards of this process, neighbours all.

        Raises
        ------
        QGCError
            If ``count`` is not a power of two, or cannot be shared evenly.
        """
        if count < 1 or count & (count - 1):
            raise QGCError(f"a step cannot be cut into {count} shards; take 1, 2, 4, 8, …")
        if count % self.size:
            raise QGCError(f"{self.size} processes cannot share {count} shards evenly; start 1, 2, 4, … processes")
        each = count // self.size
        return range(self.rank * each, (self.rank + 1) * each)

    def total(self, parts: Iterator[Tensor]) -> Tensor:
        """The sum of every process's ``parts`` (tensors of one shape), in the tree's order; all get the same."""
        mine = tree_sum(parts)
        if self.size == 1:
            return mine
        gathered = [torch.empty_like(mine) for _ in range(self.size)]
        dist.all_gather(gathered, mine)
        return tree_sum(iter(gathered))

    def all_gather(self, part: Tensor) -> Tensor:
        """Every process's ``part``, of one shape, behind each other."""
        if self.size == 1:
            return part
        gathered = [torch.empty_like(part) for _ in range(self.size)]
        dist.all_gather(gathered, part.contiguous())
        return torch.cat(gathered)

    def from_main_process(self, make: Callable[[], object]) -> object:
        """What ``make`` gives in the main process, called there alone; it need be on no disk that others see."""
        box = [make() if self.is_main_process else None]
        if self.size > 1:
            dist.broadcast_object_list(box, src=0, device=self.device if self.device.type == "cuda" else None)
        return box[0]


def tree_sum(parts: Iterator[Tensor]) -> Tensor:
    """((a + b) + (c + d)) + …: of 2ᵏ parts, with only k + 1 of them in memory at any time."""
    waiting: list[tuple[int, Tensor]] = []
    for part in parts:
        level = 0
        while waiting and waiting[-1][0] == level:
            part = waiting.pop()[1] + part
            level += 1
        waiting.append((level, part))
    [(_, total)] = waiting
    return total


@contextmanager
def process_group(device: torch.device | str = "cpu") -> Iterator[ProcessGroup]:
    """The group that ``torchrun`` has started (gloo on the CPU, nccl on GPUs, one each), or one process alone."""
    size, device = int(os.environ.get("WORLD_SIZE", 1)), torch.device(device)
    if size == 1:
        yield ProcessGroup(device=device)
        return
    if device.type == "cuda":
        device = torch.device("cuda", int(os.environ["LOCAL_RANK"]))
        torch.cuda.set_device(device)
    # the processes of one machine number the questions one after the other, which takes minutes
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo", timeout=timedelta(hours=1))
    try:
        yield ProcessGroup(dist.get_rank(), size, device)
    finally:
        dist.destroy_process_group()
