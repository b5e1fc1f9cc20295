"""Going through trajectories step by step, all at once."""

from collections.abc import Iterator, Sequence

from leap_exp.core.types import Trajectory, View, views


def together(trajectories: Sequence[Trajectory]) -> Iterator[tuple[list[int], list[View]]]:
    """The views of all first steps, then of all second ones, and so on, with the places of their trajectories.

    A student that is asked in this order has read all but the end of each prompt before.
    """
    seen = [views(trajectory) for trajectory in trajectories]
    for index in range(max(map(len, seen), default=0)):
        live = [place for place, its_views in enumerate(seen) if index < len(its_views)]
        yield live, [seen[place][index] for place in live]
