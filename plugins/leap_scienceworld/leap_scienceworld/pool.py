"""A pool of simulators that any number of episodes share, and that survives the death of any of them.

A state of a world is given by the actions that led to it. Whoever needs a simulator in a state gets one that is there,
or one that is brought there by taking the actions again. So a simulator that died is replaced like one that was busy
elsewhere, and there can be more episodes than simulators.
"""

import logging
import os
import threading
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from leap_scienceworld.simulator import Frame, Simulator, SimulatorError, World

logger = logging.getLogger(__name__)

T = TypeVar("T")

MEMORY_BYTES = 300 << 20
"""Memory of one simulator, rounded up."""
_ATTEMPTS = 3


def default_size() -> int:
    """Return how many simulators half of this machine's memory holds."""
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return max(1, total // 2 // MEMORY_BYTES)


class SimulatorPool:
    """Up to ``size`` simulators, started when they are needed.

    Args:
        size: Maximum number of simulators.
        seconds: Time for one answer of a simulator.
    """

    def __init__(self, *, size: int, seconds: float) -> None:
        self.size = size
        self._seconds = seconds
        self._free = threading.Condition()
        self._started = 0
        # The ones that nobody needs where they are come first, then the others, the last used one at the front.
        self._idle: list[Simulator] = []
        self._unneeded: set[Simulator] = set()
        self._all: weakref.WeakSet[Simulator] = weakref.WeakSet()
        self.close = weakref.finalize(self, _close_all, self._all)

    def kill_all(self) -> None:
        """Kill the JVMs of all simulators, to see that nothing is lost."""
        for simulator in list(self._all):
            simulator.kill()

    @property
    def pids(self) -> list[int]:
        """The process ids of the simulators that run now."""
        return sorted(simulator.pid for simulator in self._all)

    def at(self, world: World, actions: tuple[str, ...], work: Callable[[Simulator], T], *, last: Frame | None) -> T:
        """Do ``work`` with a simulator that is in ``world`` after ``actions``.

        If the simulator ends or hangs, another one takes its place, up to three times in all.

        Args:
            world: The world.
            actions: The actions since its start.
            work: Called with the simulator; called again if that one dies.
            last: What was shown after ``actions`` the first time; None if they are taken for the first time.

        Raises:
            EnvError: The simulators keep dying, or the world did not repeat itself.
        """

        def there(simulator: Simulator) -> T:
            frame = simulator.restore(world, actions)
            if last is not None and frame != last:
                raise SimulatorError(f"{world} did not repeat itself after {len(actions)} actions.")
            return work(simulator)

        return self._retried(there, world, actions)

    def any(self, work: Callable[[Simulator], T]) -> T:
        """Do ``work`` with any simulator, which is then in no state that could be used."""

        def alone(simulator: Simulator) -> T:
            simulator.world = None
            return work(simulator)

        return self._retried(alone, None, ())

    def leave(self, world: World, actions: tuple[str, ...]) -> None:
        """Say that nobody needs a simulator in ``world`` after ``actions`` any more."""
        with self._free:
            self._unneeded.update(each for each in self._idle if (each.world, each.actions) == (world, actions))

    def _retried(self, work: Callable[[Simulator], T], world: World | None, actions: tuple[str, ...]) -> T:
        for _ in range(_ATTEMPTS - 1):
            try:
                with self._taken(world, actions) as simulator:
                    return work(simulator)
            except SimulatorError as error:
                logger.warning("%s Another one takes its place (%s, %d actions).", error, world, len(actions))
        with self._taken(world, actions) as simulator:
            return work(simulator)

    @contextmanager
    def _taken(self, world: World | None, actions: tuple[str, ...]) -> Iterator[Simulator]:
        """Take a simulator out of the pool, the most suitable one, and put it back."""
        with self._free:
            while (found := self._choose(world, actions)) is None and self._started >= self.size:
                self._free.wait()
            if found is None:
                self._started += 1
            else:
                self._idle.remove(found)
                self._unneeded.discard(found)
        try:
            simulator = found or Simulator(seconds=self._seconds)
        except BaseException:
            self._give_up_place()
            raise
        self._all.add(simulator)
        try:
            yield simulator
        except SimulatorError:
            self._all.discard(simulator)
            simulator.close()
            self._give_up_place()
            raise
        finally:
            with self._free:
                if simulator in self._all:
                    self._idle.insert(0, simulator)
                    if simulator.world is None:
                        self._unneeded.add(simulator)
                self._free.notify()

    def _choose(self, world: World | None, actions: tuple[str, ...]) -> Simulator | None:
        """Return an idle simulator in this state or, if no other can be started, the one to bring there."""
        there = [each for each in self._idle if world is not None and (each.world, each.actions) == (world, actions)]
        spare = [each for each in self._idle if each in self._unneeded]
        if there or spare or self._started < self.size:
            return next(iter(there or spare), None)
        # Episodes take turns, so the one that has just stepped waits longest for its next step.
        return self._idle[0] if self._idle else None

    def _give_up_place(self) -> None:
        with self._free:
            self._started -= 1
            self._free.notify()


def _close_all(simulators: "weakref.WeakSet[Simulator]") -> None:
    for simulator in list(simulators):
        simulator.close()
