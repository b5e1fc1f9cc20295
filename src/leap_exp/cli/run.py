"""``leap run``: from settings to a finished run."""

import argparse
import logging
import os
import sys
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException
from rich.console import Console
from rich.logging import RichHandler

from leap_exp.cli.commands import EXIT_CONFIG, EXIT_FAILED, EXIT_INTERRUPTED, print_error
from leap_exp.cli.console import ConsoleProgress, result_table, usage_table
from leap_exp.config.build import Experiment, build
from leap_exp.config.help import help_text
from leap_exp.config.messages import explain, run_config
from leap_exp.config.registry import conf_dir, register
from leap_exp.config.resume import Round0, check_config, resolved, write_config
from leap_exp.config.run import RunConfig
from leap_exp.core.errors import ConfigError, LeapError
from leap_exp.report import write_report
from leap_exp.runs import Journal, locked, read_document, read_lines, read_metrics, storing, write_document
from leap_exp.runs.provenance import provenance


def main(arguments: Sequence[str], *, command: str = "leap run") -> int:
    """Run what Hydra's ``arguments`` describe and return the exit status; an error is printed in one line."""
    if {"-h", "--help"} & set(arguments):
        print(help_text(_config_dirs(arguments)))
        return 0
    # Hydra passes its errors on instead of printing them its own way.
    os.environ["HYDRA_FULL_ERROR"] = "1"
    _silence_libraries()
    former, sys.argv = sys.argv, [command, *arguments]
    try:
        register()
        hydra.main(version_base="1.3", config_path=str(conf_dir()), config_name="config")(_job)()
    except LeapError as error:
        return _status(error)
    except (HydraException, OmegaConfBaseException) as error:
        return _status(ConfigError(explain(error)))
    except KeyboardInterrupt:
        print("\nInterrupted. To resume, give the same command with the same run_dir.", file=sys.stderr)
        return EXIT_INTERRUPTED
    finally:
        sys.argv = former
    return 0


def _status(error: LeapError) -> int:
    print_error(error)
    return EXIT_CONFIG if isinstance(error, ConfigError) else EXIT_FAILED


def _config_dirs(arguments: Sequence[str]) -> list[Path]:
    """Return the folders given with Hydra's option ``--config-dir``."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--config-dir", "-cd", action="append", type=Path, default=[])
    return list(parser.parse_known_args(arguments)[0].config_dir)


def _silence_libraries() -> None:
    """Keep libraries' notices, which no user can act on, from between the lines of progress."""
    for variable in ("HF_HUB_DISABLE_PROGRESS_BARS", "HF_DATASETS_DISABLE_PROGRESS_BARS"):
        os.environ.setdefault(variable, "1")
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    warnings.filterwarnings("ignore", category=FutureWarning)
    for library in ("huggingface_hub", "transformers"):
        logging.getLogger(library).setLevel(logging.ERROR)


def _job(cfg: DictConfig) -> None:
    """Do one run: that of the command line, or one of a sweep."""
    job = HydraConfig.get()
    sweep = Path(job.sweep.dir).name if job.mode is RunMode.MULTIRUN else None
    try:
        config = run_config(cfg)
        _run(config, resolved(config, job.runtime.choices), Path(job.runtime.output_dir), sweep=sweep)
        if sweep is not None:
            print(f"Report of the sweep so far: {write_report(Path(job.sweep.dir))}")
    except LeapError as error:
        if sweep is not None:
            raise  # Hydra does the other runs first.
        # Leaves Hydra without the lines that it prints about an exception.
        raise SystemExit(_status(error)) from error


def _run(config: RunConfig, data: Mapping[str, object], run_dir: Path, *, sweep: str | None) -> None:
    console = Console()
    handler = RichHandler(console=console, show_time=False, show_path=False)
    logging.basicConfig(level=logging.WARNING, format="%(message)s", handlers=[handler], force=True)
    # Shows the estimated cost of a stage before it starts.
    logging.getLogger("leap_exp").setLevel(logging.INFO)
    with storing(run_dir):
        run_dir.mkdir(parents=True, exist_ok=True)
    console.print(f"Run folder: {run_dir}", highlight=False, soft_wrap=True)
    with locked(run_dir, wait=False):
        check_config(run_dir / "config.yaml", data)
        experiment = build(config)
        round_0 = Round0.of(config)
        if config.rounds:
            round_0.prepare(run_dir, data)
        write_config(run_dir / "config.yaml", data)
        _note_provenance(run_dir / "provenance.json", experiment, round_0)
        progress = ConsoleProgress(console, rounds=config.rounds)
        with config.tracker.open(run_dir, config=data, sweep=sweep) as tracker:
            journal = Journal(run_dir, tracker=tracker, progress=progress, seed=config.seed, round_0_seed=round_0.seed)
            experiment.run(journal)
        report = write_report(run_dir)
    console.print(result_table(read_document(run_dir / "summary.json")["rounds"], trained=config.rounds > 0))
    usage = usage_table(read_metrics(run_dir), read_lines(run_dir / "timings.jsonl"))
    if usage is not None:
        console.print(usage)
    console.print(f"Report: {report}", highlight=False, soft_wrap=True)


def _note_provenance(path: Path, experiment: Experiment, round_0: Round0) -> None:
    """Write where the run comes from or, when it is resumed, add where this part comes from."""
    now = provenance()
    if path.exists():
        data = read_document(path)
        write_document(path, {**data, "resumed": [*data.get("resumed", []), now]})
        return
    config = experiment.config
    seeds = {"seed": config.seed, "round_0_seed": round_0.seed, "panel_seed": config.evaluation.panel_seed}
    student = dict(config.student.provenance())
    write_document(path, {**now, "student": student, "panel_hash": experiment.panel.hash, "seeds": seeds})
