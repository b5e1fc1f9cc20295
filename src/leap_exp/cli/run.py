"""``leap run``: from settings to a finished run."""

import argparse
import logging
import os
import sys
import traceback
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

import hydra
from hydra.conf import HydraConf
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException
from rich.console import Console
from rich.logging import RichHandler

from leap_exp.analysis.card import make_card, write_card
from leap_exp.cli.commands import EXIT_CONFIG, EXIT_FAILED, EXIT_INTERRUPTED, print_error
from leap_exp.cli.console import ConsoleProgress, result_table, usage_table
from leap_exp.cli.dry_run import OPTION, no_run_folder, note_pace, print_plan
from leap_exp.config.arguments import check_swept_files, quote_values
from leap_exp.config.build import Experiment, build
from leap_exp.config.help import help_text
from leap_exp.config.messages import explain, run_config
from leap_exp.config.registry import conf_dir, register
from leap_exp.config.resume import Round0, check_config, resolved, write_config
from leap_exp.config.run import RunConfig
from leap_exp.config.sweep import JobError, SweepError
from leap_exp.config.trials import report_round
from leap_exp.core.errors import ConfigError, LeapError, StoreError
from leap_exp.core.extras import training_extra_named
from leap_exp.report import write_report
from leap_exp.report.card_page import write_card_page
from leap_exp.runs import Journal, locked, read_document, read_lines, read_metrics, storing, write_document
from leap_exp.runs.jobs import PrunedError, error_line, final_value, job_noted
from leap_exp.runs.provenance import folder_digest, provenance

_job_errors: list[Exception] = []
"""What jobs in this process raised. A job is a function for Hydra, so it reports here."""


def main(arguments: Sequence[str], *, command: str = "leap run") -> int:
    """Run what Hydra's ``arguments`` describe and return the exit status; an error is printed in one line."""
    if {"-h", "--help"} & set(arguments):
        print(help_text(_config_dirs(arguments)))
        return 0
    # Hydra passes its errors on instead of printing them its own way.
    os.environ["HYDRA_FULL_ERROR"] = "1"
    _silence_libraries()
    former = sys.argv
    _job_errors.clear()
    try:
        register()
        is_dry = OPTION in arguments
        sys.argv = [command, *quote_values([argument for argument in arguments if argument != OPTION])]
        check_swept_files(sys.argv[1:], _config_dirs(arguments))
        start = hydra.main(version_base="1.3", config_path=str(conf_dir()), config_name="config")
        if is_dry:
            with no_run_folder() as overrides:
                sys.argv += overrides
                start(_dry_job)()
        else:
            start(_job)()
    except KeyboardInterrupt:
        print("\nInterrupted. To resume, give the same command with the same run_dir.", file=sys.stderr)
        return EXIT_INTERRUPTED
    except Exception as error:  # noqa: BLE001 - raised again, unless it is an error of the user
        return _status(_explained(error))
    finally:
        sys.argv = former
    return 0


def _explained(error: Exception) -> LeapError:
    """Return an error that Hydra passes on as one for the user; raises it if it is not theirs."""
    if isinstance(error, LeapError):
        return error
    if isinstance(error, HydraException | OmegaConfBaseException):
        return ConfigError(explain(error))
    if isinstance(error, OSError) and error not in _job_errors:
        return StoreError(f"Cannot make the folder {error.filename}: {error.strerror}. Choose another run_dir.")
    raise error


def _status(error: LeapError) -> int:
    if isinstance(error, SweepError):
        print(f"\n{error}", file=sys.stderr)
        return EXIT_CONFIG if error.only_config else EXIT_FAILED
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
    # Hydra writes --info to a logger, which would complain about a reader that has gone.
    logging.raiseExceptions = False
    for library in ("bitsandbytes", "huggingface_hub", "transformers"):
        logging.getLogger(library).setLevel(logging.ERROR)


def _job(cfg: DictConfig) -> float:
    """Do one run, that of the command line or one of a sweep, and return its ``objective``.

    A sweep may run it in another process, or on another machine.
    """
    _silence_libraries()
    job = HydraConfig.get()
    run_dir = Path(job.runtime.output_dir)
    try:
        if job.mode is RunMode.MULTIRUN:
            return _job_of_sweep(cfg, job, run_dir)
        config = run_config(cfg)
        with _opened(run_dir):
            return _run(config, resolved(config, job.runtime.choices), run_dir, sweep=None)
    except LeapError as error:
        _job_errors.append(error)
        if job.mode is RunMode.MULTIRUN:
            raise
        # Leaves Hydra without the lines that it prints about an exception.
        raise SystemExit(_status(error)) from error
    except Exception as error:
        _job_errors.append(error)
        raise


def _dry_job(cfg: DictConfig) -> float:
    """Print the plan of one run, that of the command line or one of a sweep; a sweep expects a number of each."""
    console, job = Console(), HydraConfig.get()
    if job.mode is RunMode.MULTIRUN:
        console.print(f"Run: {Path(job.runtime.output_dir).name}", highlight=False, soft_wrap=True)
    try:
        with training_extra_named():
            print_plan(run_config(cfg), console)
    except LeapError as error:
        # As in ``_job``.
        raise SystemExit(_status(error)) from error
    return 0.0


def _job_of_sweep(cfg: DictConfig, job: HydraConf, run_dir: Path) -> float:
    """Do a run of a sweep. An error is printed at once; Hydra does the other runs before the sweep ends with it."""
    sweep_dir = Path(job.sweep.dir)
    try:
        with _opened(run_dir), job_noted(run_dir, job_id=str(job.job.id)):
            config = run_config(cfg)
            value = _run(config, resolved(config, job.runtime.choices), run_dir, sweep=sweep_dir.absolute().name)
    except PrunedError as error:
        print(f"{run_dir.name}: {error}")
        raise
    except Exception as error:
        if isinstance(error, LeapError):
            print(f"error: {run_dir.name}: {error_line(error)}", file=sys.stderr)
            raise
        traceback.print_exception(error)
        print(f"error: {run_dir.name}: {error_line(error)}", file=sys.stderr)
        # Other exceptions may not survive the way back from another process.
        raise JobError(error_line(error)) from error
    try:
        print(f"Report of the sweep so far: {write_report(sweep_dir)}")
    except LeapError as error:
        # What another run has left must not fail this one.
        print(f"The report of the sweep was not written: {error}", file=sys.stderr)
    return value


@contextmanager
def _opened(run_dir: Path) -> Iterator[None]:
    """Make the run folder and keep other processes out of it."""
    with storing(run_dir):
        run_dir.mkdir(parents=True, exist_ok=True)
    # A console ends the process silently if the reader of its output has gone.
    Console().print(f"Run folder: {run_dir}", highlight=False, soft_wrap=True)
    with locked(run_dir, wait=False):
        yield


@training_extra_named()
def _run(config: RunConfig, data: Mapping[str, object], run_dir: Path, *, sweep: str | None) -> float:
    """Do one run in ``run_dir`` and return its objective."""
    console = Console()
    handler = RichHandler(console=console, show_time=False, show_path=False)
    logging.basicConfig(level=logging.WARNING, format="%(message)s", handlers=[handler], force=True)
    # Shows the estimated cost of a stage before it starts.
    logging.getLogger("leap_exp").setLevel(logging.INFO)
    check_config(run_dir / "config.yaml", data)
    experiment = build(config)
    round_0 = Round0.of(config)
    if config.rounds:
        round_0.prepare(run_dir, data)
    write_config(run_dir / "config.yaml", data)
    _note_provenance(run_dir / "provenance.json", experiment, round_0)
    progress = ConsoleProgress(console, rounds=config.rounds)
    with config.tracker.open(run_dir, config=data, sweep=sweep) as tracker:
        journal = Journal(
            run_dir,
            tracker=tracker,
            progress=progress,
            seed=config.seed,
            round_0_seed=round_0.seed,
            on_round=lambda index: report_round(
                final_value(run_dir, config.objective), index, last=index == config.rounds
            ),
        )
        experiment.run(journal)
    report = write_report(run_dir)
    card = make_card([run_dir])
    write_card(card, run_dir)
    card_page = write_card_page(card, run_dir)
    note_pace(config, run_dir)
    rounds = read_document(run_dir / "summary.json")["rounds"]
    console.print(result_table(rounds, trained=config.rounds > 0))
    usage = usage_table(read_metrics(run_dir), read_lines(run_dir / "timings.jsonl"))
    if usage is not None:
        console.print(usage)
    console.print(f"Report: {report}", highlight=False, soft_wrap=True)
    console.print(f"Results card: {card_page}", highlight=False, soft_wrap=True)
    return final_value(run_dir, config.objective)


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
    if config.checkpoint is not None:
        student["checkpoint_sha256"] = folder_digest(Path(config.checkpoint))
    panel, protocol = experiment.panel, config.evaluation.conditions
    write_document(
        path,
        {
            **now,
            "overrides": list(HydraConfig.get().overrides.task),
            "student": student,
            "panel_hash": panel.hash,
            "panel": {"name": panel.name, "contents_sha256": panel.contents_sha256},
            "protocol": asdict(protocol) if protocol else None,
            "seeds": seeds,
        },
    )
