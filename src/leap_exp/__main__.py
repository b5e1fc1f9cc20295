"""``python -m leap_exp``: from the command line to a finished run."""

import logging
import os
import sys
import warnings
from collections.abc import Mapping
from pathlib import Path

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException
from rich.console import Console
from rich.logging import RichHandler

from leap_exp.config.build import Experiment, build
from leap_exp.config.groups import conf_dir, register
from leap_exp.config.help import help_text
from leap_exp.config.refusal import explain, run_config
from leap_exp.config.resume import check_config, resolved, round_0_seed, settle_round_0, write_config
from leap_exp.config.run import RunConfig
from leap_exp.console import ConsoleProgress, result_table, usage_table
from leap_exp.core.errors import ConfigError, LeapError
from leap_exp.report import write_report
from leap_exp.store import Journal, locked, read_document, read_lines, read_metrics, storing, write_document
from leap_exp.store.provenance import provenance

EXIT_FAILED, EXIT_CONFIG, EXIT_INTERRUPTED = 1, 2, 130


def main() -> None:
    """Run what the command line asks for; every foreseen error is one line and an exit code."""
    if {"-h", "--help"} & set(sys.argv[1:]):
        print(help_text())
        return
    # Lets Hydra's errors through to the lines below instead of printing them its own way.
    os.environ["HYDRA_FULL_ERROR"] = "1"
    for variable in ("HF_HUB_DISABLE_PROGRESS_BARS", "HF_DATASETS_DISABLE_PROGRESS_BARS"):
        os.environ.setdefault(variable, "1")
    # What libraries deprecate among themselves is nothing that a user of this program could mend.
    warnings.filterwarnings("ignore", category=FutureWarning)
    try:
        register()
        hydra.main(version_base="1.3", config_path=str(conf_dir()), config_name="config")(_job)()
    except LeapError as error:
        _exit(error)
    except (HydraException, OmegaConfBaseException) as error:
        _exit(ConfigError(explain(error)))
    except KeyboardInterrupt:
        print("\nInterrupted. The same command with the same run_dir goes on from here.", file=sys.stderr)
        sys.exit(EXIT_INTERRUPTED)


def _exit(error: LeapError) -> None:
    print(f"error: {error}", file=sys.stderr)
    sys.exit(EXIT_CONFIG if isinstance(error, ConfigError) else EXIT_FAILED)


def _job(cfg: DictConfig) -> None:
    """One run of the command line, or one of a sweep."""
    job = HydraConfig.get()
    sweep = Path(job.sweep.dir).name if job.mode is RunMode.MULTIRUN else None
    try:
        config = run_config(cfg)
        _run(config, resolved(config, job.runtime.choices), Path(job.runtime.output_dir), sweep=sweep)
        if sweep is not None:
            print(f"Report of the sweep so far: {write_report(Path(job.sweep.dir))}")
    except LeapError as error:
        if sweep is not None:
            raise  # Hydra goes on with the other jobs first.
        _exit(error)


def _run(config: RunConfig, data: Mapping[str, object], run_dir: Path, *, sweep: str | None) -> None:
    console = Console()
    handler = RichHandler(console=console, show_time=False, show_path=False)
    logging.basicConfig(level=logging.WARNING, format="%(message)s", handlers=[handler], force=True)
    # What a stage will cost is said before it starts.
    logging.getLogger("leap_exp").setLevel(logging.INFO)
    # Its retries would drown the one line that says what could not be fetched.
    logging.getLogger("huggingface_hub").setLevel(logging.ERROR)
    with storing(run_dir):
        run_dir.mkdir(parents=True, exist_ok=True)
    console.print(f"Run folder: {run_dir}", highlight=False, soft_wrap=True)
    with locked(run_dir, wait=False):
        check_config(run_dir / "config.yaml", data)
        pi_0 = Path(config.pi_0) if config.pi_0 else None
        seed = round_0_seed(pi_0, config.seed)
        experiment = build(config, round_0_seed=seed)
        if config.rounds:
            settle_round_0(run_dir, pi_0, data, seed=seed)
        write_config(run_dir / "config.yaml", data)
        _note_provenance(run_dir / "provenance.json", experiment)
        progress = ConsoleProgress(console, rounds=config.rounds)
        with config.tracker.open(run_dir, config=data, sweep=sweep) as tracker:
            experiment.run(Journal(run_dir, tracker=tracker, progress=progress))
        report = write_report(run_dir)
    console.print(result_table(read_document(run_dir / "summary.json")["rounds"], trained=config.rounds > 0))
    usage = usage_table(read_metrics(run_dir), read_lines(run_dir / "timings.jsonl"))
    if usage is not None:
        console.print(usage)
    console.print(f"Report: {report}", highlight=False, soft_wrap=True)


def _note_provenance(path: Path, experiment: Experiment) -> None:
    """Write where the run comes from; when it goes on, add where it goes on from."""
    now = provenance()
    if path.exists():
        data = read_document(path)
        write_document(path, {**data, "resumed": [*data.get("resumed", []), now]})
        return
    config = experiment.config
    write_document(
        path,
        {
            **now,
            "student": dict(config.student.provenance()),
            "panel_hash": experiment.panel.hash,
            "seeds": {
                "seed": config.seed,
                "round_0_seed": experiment.round_0_seed,
                "panel_seed": config.evaluation.panel_seed,
            },
        },
    )


if __name__ == "__main__":
    main()
