"""``leap eval``: evaluate a student on a panel, without training, and write a results card; or repeat a card."""

import argparse
import json
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from leap_exp.analysis.card import compare_cards, make_card, read_card, write_card
from leap_exp.cli import run
from leap_exp.cli.commands import EXIT_CONFIG, EXIT_FAILED, print_error
from leap_exp.config.arguments import quote
from leap_exp.config.panels import find_panel
from leap_exp.config.registry import members
from leap_exp.core.errors import ConfigError, LeapError
from leap_exp.report.card_page import write_card_page
from leap_exp.runs import read_config

HELP = """\
leap eval [CHECKPOINT] [--panel P] [--protocol Q] [--seeds 0,1,2] [GROUP=MEMBER ...] [SETTING=VALUE ...]
leap eval --verify CARD [CHECKPOINT] [SETTING=VALUE ...]

Evaluates a student on a panel: leap run with rounds=0. The run folder gets a results card, card.json and card.md:
hashes, versions, command, intervals and cost.

CHECKPOINT is one of
  a folder of a finished round, such as outputs/.../round_003, or its student folder (round=FOLDER is the same):
    environment, student and panel are then those of its run, unless other arguments change them
  a folder with a LoRA adapter, or with a model
  a model of the Hugging Face hub, such as Qwen/Qwen3-0.6B
  a member of the group student, such as gpt4o_mini

--panel P      a panel by name (leap data panels) or file; sets the environment that it belongs to
--protocol Q   the conditions of another project: leap, sdar, tcod or react (docs/protocols.md)
--seeds LIST   evaluate once with each seed of the episodes; needs --panel
--verify CARD  repeat a card, and say whether the result agrees within the card's interval (exit status 1 if not)

  leap eval outputs/2026-11-27/10-00-00/round_003 --panel alfworld_unseen_134 --protocol leap
  leap eval gpt4o_mini --panel builtin_webshop_40 --seeds 0,1,2
  leap eval student=random evaluation.tasks=20
  leap eval --verify card.json

leap run --help lists all groups and settings.
"""

_GROUPS = ("env", "student")
_SETTINGS = ("evaluation", "batch")
_MULTIRUN = ("-m", "--multirun")
_COMMAND = "leap eval"


def main(arguments: Sequence[str]) -> int:
    """Evaluate what ``arguments`` describe and return the exit status."""
    if {"-h", "--help"} & set(arguments):
        print(HELP)
        return 0
    try:
        options, others = _parse(arguments)
        if options.verify is not None:
            return _verify(options.verify, others)
        overrides = evaluation_overrides(others, panel=options.panel, protocol=options.protocol)
        if options.seeds is None:
            return run.main(overrides, command=_COMMAND)
        _check_seeds(others, panel=options.panel)
        return _evaluate(overrides, options.seeds, _run_dir(others))
    except LeapError as error:
        print_error(error)
        return EXIT_CONFIG if isinstance(error, ConfigError) else EXIT_FAILED


def evaluation_overrides(
    arguments: Sequence[str], *, panel: str | None = None, protocol: str | None = None
) -> list[str]:
    """Return the arguments of ``leap run`` that evaluate what the arguments of ``leap eval`` describe.

    Raises:
        ConfigError: The checkpoint is not a folder of a run, there is no such panel, or ``rounds`` is given.
    """
    given = {argument.partition("=")[0] for argument in arguments}
    if "rounds" in given:
        raise ConfigError("leap eval does not train, so it takes no rounds; use leap run.")
    folder = next((argument.partition("=")[2] for argument in arguments if argument.startswith("round=")), None)
    others = [argument for argument in arguments if not argument.startswith("round=")]
    if folder is None and others and _is_checkpoint(others[0]):
        folder = others.pop(0)
    overrides = ["rounds=0", *(_of_student(folder, given) if folder is not None else ())]
    if panel is not None:
        overrides = _with_panel(overrides, panel, given)
    if protocol is not None:
        overrides.append(f"evaluation.protocol={protocol}")
    # Hydra's parser takes all settings in one run, so its own flag comes first.
    flags = [argument for argument in others if argument in _MULTIRUN]
    return [*flags, *overrides, *(argument for argument in others if argument not in _MULTIRUN)]


def _parse(arguments: Sequence[str]) -> tuple[argparse.Namespace, list[str]]:
    """Return the options of ``leap eval``, and the other arguments."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
    parser.add_argument("--panel")
    parser.add_argument("--protocol")
    parser.add_argument("--seeds", type=lambda text: [int(seed) for seed in text.split(",")])
    parser.add_argument("--verify", type=Path)
    try:
        return parser.parse_known_args(arguments)
    except argparse.ArgumentError as error:
        raise ConfigError(f"{error}; see leap eval --help.") from error


def _check_seeds(arguments: Sequence[str], *, panel: str | None) -> None:
    if panel is None and not any(argument.startswith("evaluation.panel=") for argument in arguments):
        raise ConfigError("--seeds needs --panel: without one, evaluation.panel_seed also draws the tasks.")
    if set(_MULTIRUN) & set(arguments):
        raise ConfigError("--seeds does not go with a sweep (-m); sweep over evaluation.panel_seed instead.")


def _run_dir(arguments: Sequence[str]) -> Path:
    """Return the folder that the arguments give for results, or a new one."""
    given = [argument.partition("=")[2] for argument in arguments if argument.startswith("run_dir=")]
    return Path(given[-1] if given else datetime.now().astimezone().strftime("outputs/%Y-%m-%d/%H-%M-%S"))


def _evaluate(overrides: Sequence[str], seeds: Sequence[int], run_dir: Path) -> int:
    """Do a run for each seed in a folder below ``run_dir``, and write the card of all of them there."""
    status, folders = _run_all(overrides, seeds, run_dir)
    if status or not all((folder / "summary.json").is_file() for folder in folders):
        return status
    card = make_card(folders)
    write_card(card, run_dir)
    print(f"Results card: {write_card_page(card, run_dir)}")
    return 0


def _run_all(overrides: Sequence[str], seeds: Sequence[int], run_dir: Path) -> tuple[int, list[Path]]:
    """Do a run for each seed; return the first exit status that is not 0, or 0, and the folders."""
    kept = [each for each in overrides if not each.startswith(("run_dir=", "evaluation.panel_seed="))]
    folders = []
    for seed in seeds:
        folders.append(run_dir / f"seed_{seed}")
        own = [f"evaluation.panel_seed={seed}", f"run_dir={quote(str(folders[-1]))}"]
        status = run.main([*kept, *own], command=_COMMAND)
        if status:
            return status, folders
    return 0, folders


def _verify(path: Path, arguments: Sequence[str]) -> int:
    """Repeat the card in ``path`` with changed ``arguments``, and print how the results compare."""
    card = read_card(path)
    changes, checkpoint = list(arguments), None
    if changes and _is_checkpoint(changes[0]):
        checkpoint = str(_student_folder(Path(changes.pop(0))))
    overrides = [each for each in _repeated(card, checkpoint) if each.partition("=")[0] not in _names(changes)]
    run_dir = _run_dir(arguments)
    status, folders = _run_all([*overrides, *changes], card["seeds"], run_dir)
    if status:
        return status
    repeated = make_card(folders)
    write_card(repeated, run_dir)
    write_card_page(repeated, run_dir)
    agreement = compare_cards(card, repeated)
    print("\n".join(agreement.lines))
    verdict = "identical" if agreement.identical else "agrees" if agreement.agrees else "does not agree"
    print(json.dumps({"verdict": verdict, "card": str(path), "repeated": str(run_dir / "card.json")}))
    return 0 if agreement.agrees else EXIT_FAILED


def _repeated(card: dict[str, Any], checkpoint: str | None) -> list[str]:
    """Return the arguments of ``leap run`` that repeat a card, with the student in ``checkpoint`` if it has moved."""
    overrides = [each for each in card["arguments"] if not each.startswith("tracker")]
    of_student = card["settings"].get("checkpoint")
    if of_student is not None:
        folder = Path(checkpoint or of_student)
        if not folder.is_dir():
            raise ConfigError(
                f"The card's student {folder} is not here; give its folder: leap eval --verify CARD FOLDER."
            )
        overrides = [each for each in overrides if not each.startswith("checkpoint=")]
        overrides.append(f"checkpoint={quote(str(folder))}")
    elif checkpoint is not None:
        raise ConfigError(f"The card is not about the student of a run, so it takes no folder: {checkpoint}.")
    # Experiment files can ask for a sweep; a card is about one of its runs.
    return [*overrides, "tracker=jsonl", "hydra.mode=RUN"]


def _names(arguments: Sequence[str]) -> set[str]:
    return {argument.partition("=")[0] for argument in arguments}


def _is_checkpoint(argument: str) -> bool:
    """Return whether an argument is a folder or a model, not an option or a setting; a sweep's folders have a ``=``."""
    name, is_setting, _ = argument.partition("=")
    is_path = "/" in name and not name.startswith("hydra/")
    return Path(argument).is_dir() or is_path or not (argument.startswith("-") or is_setting)


def _of_student(name: str, given: set[str]) -> list[str]:
    """Return overrides for the student that ``name`` means, except for the groups in ``given``."""
    folder = Path(name)
    if (folder / "adapter_config.json").is_file() and _config_file(folder) is None:
        base = json.loads((folder / "adapter_config.json").read_text(encoding="utf-8")).get("base_model_name_or_path")
        model = [] if "student" in given else ["student=hf", f"student.model={quote(str(base))}"]
        return [*model, f"student.adapter={quote(name)}"]
    if (folder / "config.json").is_file() or (not folder.exists() and name.count("/") == 1 and name[0] not in "./~"):
        return [*([] if "student" in given else ["student=hf"]), f"student.model={quote(name)}"]
    if not folder.exists() and name in members("student"):
        return [f"student={name}"]
    return _of_round(folder, given)


def _student_folder(folder: Path) -> Path:
    return folder if folder.name == "student" else folder / "student"


def _config_file(folder: Path) -> Path | None:
    """Return the configuration of the run, or of the shared round 0, that ``folder`` is a round of; None if of none."""
    parent = _student_folder(folder).parent
    return next((each for each in (parent / "config.yaml", parent.parent / "config.yaml") if each.is_file()), None)


def _of_round(folder: Path, given: set[str]) -> list[str]:
    """Return overrides for the student of a round with its run's settings, except for the groups in ``given``."""
    student, file = _student_folder(folder), _config_file(folder)
    if not student.is_dir() or file is None:
        raise ConfigError(
            f"{folder} is not a finished round of a run, an adapter, a model or a member of student; give a folder "
            "such as RUN_DIR/round_003, or see leap eval --help."
        )
    config = read_config(file)
    overrides = [f"checkpoint={_quoted(str(student))}"]
    for group in _GROUPS:
        if group not in given:
            overrides.append(f"{group}={config[group]['name']}")
            overrides += [f"{group}.{key}={_quoted(value)}" for key, value in config[group].items() if key != "name"]
    for key in _SETTINGS:
        overrides.append(f"{key}={_quoted(config[key])}")
    return overrides


def _with_panel(overrides: Sequence[str], name: str, given: set[str]) -> list[str]:
    """Return ``overrides`` with the panel ``name`` and, unless ``given``, its environment."""
    choice, *settings = find_panel(name).settings
    panel = f"evaluation.panel={_quoted(name)}"
    if "env" in given:
        return [*overrides, panel]
    if choice not in overrides:
        overrides = [choice, *(each for each in overrides if not each.startswith(("env=", "env.")))]
    own = _names(settings)
    return [*(each for each in overrides if each.partition("=")[0] not in own), *settings, panel]


def _quoted(value: object) -> str:
    """Return ``value`` in the grammar of Hydra's overrides."""
    if isinstance(value, dict):
        return "{" + ",".join(f"{key}:{_quoted(each)}" for key, each in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(_quoted, value)) + "]"
    if isinstance(value, str):
        return quote(value)
    if value is None or isinstance(value, bool):
        return "null" if value is None else str(value).lower()
    return str(value)
