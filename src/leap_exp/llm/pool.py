"""Many pieces of work at a time, with a limit."""

import threading
from collections.abc import Callable, Iterator
from queue import SimpleQueue
from typing import TypeVar

T = TypeVar("T")


def run_many(work: Callable[[int], T], count: int, *, limit: int, stopping: threading.Event) -> Iterator[tuple[int, T]]:
    """``work(0)`` to ``work(count - 1)``, each with its index as it gets done; at most ``limit`` run at a time.

    If one raises, ``stopping`` is set: none is begun any more, those under way are awaited and yielded, and then the
    error is raised. The threads do not keep an interrupted process alive.
    """
    indices = iter(range(count))
    taking = threading.Lock()
    done: SimpleQueue[tuple[int, T] | BaseException | None] = SimpleQueue()

    def take_turns() -> None:
        while not stopping.is_set():
            with taking:
                index = next(indices, None)
            if index is None:
                break
            try:
                done.put((index, work(index)))
            except BaseException as error:  # noqa: BLE001 - raised again below, where it can be seen
                stopping.set()
                done.put(error)
        done.put(None)

    workers = [threading.Thread(target=take_turns, daemon=True) for _ in range(min(limit, count))]
    for worker in workers:
        worker.start()
    working, first_error = len(workers), None
    try:
        while working:
            result = done.get()
            if result is None:
                working -= 1
            elif isinstance(result, BaseException):
                first_error = first_error or result
            else:
                yield result
    finally:
        stopping.set()
    if first_error is not None:
        raise first_error
