"""Schemas of the group ``tracker``."""

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path

from leap_exp.config.schema import setting
from leap_exp.core.protocols import Tracker
from leap_exp.tracking.group import TrackerGroup
from leap_exp.tracking.jsonl import JsonlTracker


@dataclass
class TrackerConfig:
    """What every tracker can be set to."""

    def open(
        self, run_dir: Path, *, config: Mapping[str, object], sweep: str | None
    ) -> AbstractContextManager[Tracker]:
        """Where the run's results go; told the resolved ``config`` and the name of the sweep, if any."""
        raise NotImplementedError


@dataclass
class JsonlConfig(TrackerConfig):
    """metrics.jsonl in the run folder, which every run writes, and nothing else."""

    def open(
        self,
        run_dir: Path,
        *,
        config: Mapping[str, object],  # noqa: ARG002 - it lies in the run folder already
        sweep: str | None,  # noqa: ARG002 - it shows in the run folder's path
    ) -> AbstractContextManager[Tracker]:
        """The file."""
        return nullcontext(JsonlTracker(run_dir))


@dataclass
class WandbConfig(TrackerConfig):
    """Weights & Biases: online with WANDB_API_KEY or WANDB_MODE=online, else files for ``wandb sync``."""

    project: str = setting("leap_exp", "W&B project.")
    entity: str | None = setting(None, "W&B team or user; null for the account's own.")
    group: str | None = setting(None, "W&B group; null for the name of the sweep.")

    @contextmanager
    def open(self, run_dir: Path, *, config: Mapping[str, object], sweep: str | None) -> Iterator[Tracker]:
        """The file and, unless WANDB_MODE=disabled, the W&B run."""
        from leap_exp.tracking.wandb import WandbTracker, wandb_mode

        jsonl = JsonlTracker(run_dir)
        mode = wandb_mode()
        if mode == "disabled":
            yield jsonl
            return
        group = self.group or sweep
        with WandbTracker.start(
            run_dir, mode=mode, project=self.project, entity=self.entity, group=group, config=config
        ) as wandb:
            yield TrackerGroup([jsonl, wandb])
