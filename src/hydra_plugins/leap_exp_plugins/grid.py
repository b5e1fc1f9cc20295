"""The sweeper for all combinations of values."""

from pathlib import Path

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import OmegaConf

from hydra_plugins.leap_exp_plugins.jobs import SweepJobs
from leap_exp.config.sweep import SweepError


class GridSweeper(BasicSweeper):
    """Hydra's basic sweeper, except that it starts only runs that are not finished, and reports all that fail."""

    def sweep(self, arguments: list[str]) -> None:
        """Run all combinations of the swept settings in ``arguments`` and ``hydra.sweeper.params``.

        Raises:
            SweepError: Some of the runs failed.
        """
        assert self.config is not None and self.hydra_context is not None and self.launcher is not None  # noqa: S101
        swept = [*(f"{name}={values}" for name, values in (self.params or {}).items()), *arguments]
        overrides = OverridesParser.create(config_loader=self.hydra_context.config_loader).parse_overrides(swept)
        jobs = SweepJobs(self.launcher, self.hydra_context, self.config)
        # Composed before the first one starts, so that a mistake stops the sweep at once.
        batches = [
            [jobs.compose(each) for each in batch] for batch in self.split_arguments(overrides, self.max_batch_size)
        ]
        folder = Path(self.config.hydra.sweep.dir)
        folder.mkdir(parents=True, exist_ok=True)
        OmegaConf.save(self.config, folder / "multirun.yaml")
        failures = {}
        for batch in batches:
            for job, outcome in zip(batch, jobs.run(batch), strict=True):
                if isinstance(outcome, Exception):
                    failures[job.name] = outcome
        if failures:
            raise SweepError(failures)
