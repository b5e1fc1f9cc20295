"""Names of the run folders of a sweep."""

from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.experimental.callback import Callback
from omegaconf import DictConfig, read_write


class NameRunsByWhatVaries(Callback):
    """Leaves settings that are the same in all runs of a sweep out of the names of the run folders."""

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:  # noqa: ARG002, ANN401 - Hydra's interface
        """Tell Hydra which settings to leave out."""
        overrides = OverridesParser.create().parse_overrides([*config.hydra.overrides.task])
        varying = {override.key_or_group for override in overrides if override.is_sweep_override()}
        fixed = sorted({override.key_or_group for override in overrides} - varying)
        with read_write(config):
            config.hydra.overrides.hydra.append(f"hydra.job.config.override_dirname.exclude_keys=[{','.join(fixed)}]")
