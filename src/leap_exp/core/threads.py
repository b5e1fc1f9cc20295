"""Work in many threads at once.

The threads are daemons, which those of ThreadPoolExecutor are not, so that an interrupted process ends at once.
"""

import threading
from collections.abc import Callable, Iterator
from functools import partial
from queue import SimpleQueue
from typing import TypeVar

T = TypeVar("T")

Work = Callable[[], object]


class Workers:
    """Threads that do pieces of work in the order in which they are submitted.

    They live until ``close``: a program that a thread has started may end with that thread.

    Args:
        limit: Number of threads; they are started when there is work for them.
        on_error: Called in the thread with what a submitted piece of work raises.
    """

    def __init__(self, limit: int, *, on_error: Callable[[BaseException], object]) -> None:
        self._limit = limit
        self._on_error = on_error
        self._waiting: SimpleQueue[Work | None] = SimpleQueue()
        self._threads: list[threading.Thread] = []
        self._lock = threading.Lock()
        self._unfinished = 0
        self._closing = False

    def submit(self, work: Work) -> None:
        """Do ``work`` as soon as a thread is free; nothing after ``close``."""
        with self._lock:
            if self._closing:
                return
            self._unfinished += 1
            self._waiting.put(work)
            if len(self._threads) >= min(self._unfinished, self._limit):
                return
            thread = threading.Thread(target=self._run, daemon=True)
            thread.start()
            self._threads.append(thread)

    def do_all(self, work: Callable[[int], object], count: int) -> None:
        """Do ``work(0)`` to ``work(count - 1)``, wait for all of them, and raise the first error."""
        done: SimpleQueue[BaseException | None] = SimpleQueue()

        def one(place: int) -> None:
            error: BaseException | None = None
            try:
                work(place)
            except BaseException as raised:  # noqa: BLE001 - raised again below, in the caller's thread
                error = raised
            done.put(error)

        for place in range(count):
            self.submit(partial(one, place))
        errors = [error for error in (done.get() for _ in range(count)) if error is not None]
        if errors:
            raise errors[0]

    def close(self, *, wait: bool = True) -> None:
        """Start no further work, and ``wait`` for what is being done."""
        with self._lock:
            self._closing = True
            threads = list(self._threads)
        for _ in threads:
            self._waiting.put(None)
        for thread in threads if wait else ():
            thread.join()

    def _run(self) -> None:
        while (work := self._waiting.get()) is not None and not self._closing:
            try:
                work()
            except BaseException as error:  # noqa: BLE001 - whoever has submitted the work decides about it
                self._on_error(error)
            with self._lock:
                self._unfinished -= 1


def run_many(work: Callable[[int], T], count: int, *, limit: int, stopping: threading.Event) -> Iterator[tuple[int, T]]:
    """Run ``work(0)`` to ``work(count - 1)``, at most ``limit`` at a time; yield each index and result when done.

    If one raises, ``stopping`` is set and no further one starts; those running are finished and yielded, then the error
    is raised.
    """
    indices = iter(range(count))
    lock = threading.Lock()
    done: SimpleQueue[tuple[int, T] | BaseException | None] = SimpleQueue()

    def run_worker() -> None:
        while not stopping.is_set():
            with lock:
                index = next(indices, None)
            if index is None:
                break
            try:
                done.put((index, work(index)))
            except BaseException as error:  # noqa: BLE001 - raised again below, in the caller's thread
                stopping.set()
                done.put(error)
        done.put(None)

    workers = [threading.Thread(target=run_worker, daemon=True) for _ in range(min(limit, count))]
    for worker in workers:
        worker.start()
    running, first_error = len(workers), None
    try:
        while running:
            result = done.get()
            if result is None:
                running -= 1
            elif isinstance(result, BaseException):
                first_error = first_error or result
            else:
                yield result
    finally:
        stopping.set()
    if first_error is not None:
        raise first_error
