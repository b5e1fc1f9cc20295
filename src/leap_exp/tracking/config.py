"""Settings of the trackers."""

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path

from leap_exp.core.components import TrackerConfig
from leap_exp.core.protocols import Tracker
from leap_exp.core.settings import setting
from leap_exp.tracking.jsonl import JsonlTracker


@dataclass
class JsonlConfig(TrackerConfig):
    """Only metrics.jsonl in the run folder, which every run writes."""

    def open(
        self,
        run_dir: Path,
        *,
        config: Mapping[str, object],  # noqa: ARG002 - config.yaml in the run folder has it
        sweep: str | None,  # noqa: ARG002 - it is part of the run folder's path
    ) -> AbstractContextManager[Tracker]:
        """Open the file."""
        return nullcontext(JsonlTracker(run_dir))


@dataclass
class WandbConfig(TrackerConfig):
    """Weights & Biases: online with WANDB_API_KEY or WANDB_MODE=online, else files for ``wandb sync``."""

    project: str = setting("leap_exp", "W&B project.")
    entity: str | None = setting(None, "W&B team or user; null for the account's own.")
    group: str | None = setting(None, "W&B group; null for the name of the sweep.")

    @contextmanager
    def open(self, run_dir: Path, *, config: Mapping[str, object], sweep: str | None) -> Iterator[Tracker]:
        """Open the file and, unless WANDB_MODE=disabled, the W&B run."""
        from leap_exp.tracking.wandb import WandbTracker, wandb_mode  # Importing wandb takes long.

        mode = wandb_mode()
        if mode == "disabled":
            yield JsonlTracker(run_dir)
            return
        group = self.group or sweep
        with WandbTracker.start(
            run_dir, mode=mode, project=self.project, entity=self.entity, group=group, config=config
        ) as tracker:
            yield tracker
