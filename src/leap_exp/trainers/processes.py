"""The processes that train together: one, or several of one machine that torchrun has started."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import distributed

T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True, slots=True, kw_only=True)
class Processes:
    """The processes of a training, as one of them sees them.

    Attributes:
        count: How many there are.
        rank: The number of this one, from 0.
        device: Where its tensors are, to be exchanged.
    """

    count: int = 1
    rank: int = 0
    device: str = "cpu"

    @property
    def is_first(self) -> bool:
        """Whether this process writes files and reports progress."""
        return self.rank == 0

    def sum(self, tensor: torch.Tensor) -> torch.Tensor:
        """Return the sum of the tensors of all processes."""
        if self.count == 1:
            return tensor
        total = tensor.detach().to(self.device, copy=True)
        distributed.all_reduce(total)
        return total.to(tensor.device)

    def wait(self) -> None:
        """Wait until all processes are here."""
        if self.count > 1:
            distributed.barrier()

    def first(self, item: T) -> T:
        """Return the item of the first process."""
        if self.count == 1:
            return item
        items = [item]
        distributed.broadcast_object_list(items)
        return items[0]

    def share(self, items: Sequence[T]) -> list[T]:
        """Return the items of this process, if they are dealt one by one."""
        return list(items[self.rank :: self.count])

    def map(self, function: Callable[[T], R], items: Sequence[T]) -> list[R]:
        """Return ``function`` of each item, computed by all processes.

        All call it equally often, also with an item of another, so that it may itself exchange tensors.
        """
        if self.count == 1 or not items:
            return [function(item) for item in items]
        calls = -(-len(items) // self.count)
        own = [function(items[min(self.rank + call * self.count, len(items) - 1)]) for call in range(calls)]
        found: list[list[R]] = [[] for _ in range(self.count)]
        distributed.all_gather_object(found, own)
        return [found[index % self.count][index // self.count] for index in range(len(items))]

    def sum_gradients(self, parameters: Sequence[torch.nn.Parameter]) -> None:
        """Replace the gradients of ``parameters`` by their sums over all processes."""
        waiting = []
        for parameter in parameters:
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
            waiting.append(distributed.all_reduce(parameter.grad, async_op=True))
        for work in waiting:
            if work is not None:
                work.wait()


ALONE = Processes()
"""This process alone."""
