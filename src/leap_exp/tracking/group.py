"""Several trackers as one."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from leap_exp.core.protocols import Tracker
from leap_exp.core.types import Correction, Trajectory


class TrackerGroup:
    """Passes everything on to each of its trackers, in order."""

    def __init__(self, trackers: Sequence[Tracker]) -> None:
        self._trackers = tuple(trackers)

    def log(self, metrics: Mapping[str, float], *, round_index: int) -> None:
        """Pass on metrics."""
        for tracker in self._trackers:
            tracker.log(metrics, round_index=round_index)

    def log_trajectories(self, name: str, trajectories: Sequence[Trajectory], *, round_index: int) -> None:
        """Pass on trajectories."""
        for tracker in self._trackers:
            tracker.log_trajectories(name, trajectories, round_index=round_index)

    def log_corrections(self, corrections: Sequence[Correction], *, round_index: int) -> None:
        """Pass on corrections."""
        for tracker in self._trackers:
            tracker.log_corrections(corrections, round_index=round_index)

    def log_student(self, folder: Path, *, round_index: int) -> None:
        """Pass on a student."""
        for tracker in self._trackers:
            tracker.log_student(folder, round_index=round_index)
