"""Panels by name: those that come with the package, how each is made, and those that a user has made."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import as_file, files
from pathlib import Path

from hydra import compose, initialize_config_dir
from hydra.errors import HydraException
from omegaconf.errors import OmegaConfBaseException

from leap_exp.config.messages import explain, run_config
from leap_exp.config.registry import conf_dir, register
from leap_exp.config.run import RunConfig
from leap_exp.core.environments import Environment
from leap_exp.core.errors import ConfigError
from leap_exp.envs.datasets import data_folder
from leap_exp.stages.evaluate import EvaluationConfig, Panel, draw_panel
from leap_exp.stages.panels import PanelFile, make_panel_file, read_panel_file


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """How a panel is made.

    Attributes:
        about: What it is, in a sentence.
        env: The settings of its environment.
        evaluation: The settings that draw it: a split and, if it is not the whole split, a number of tasks.
    """

    about: str
    env: tuple[str, ...]
    evaluation: tuple[str, ...]


_ALFWORLD = ("env=alfworld", "env.games=official")
_HOUSEHOLDS = ("env=alfworld", "env.games=builtin", "env.household=small", "env.builtin_seed=0")
_SHOP = ("env=webshop", "env.catalogue=builtin", "env.builtin_seed=0", "env.goals=human", "env.price_seed=42")
_QUERIES = ("env=intercode_bash", "env.tasks=builtin", "env.builtin_seed=0")

RECIPES: Mapping[str, Recipe] = {
    "alfworld_seen_140": Recipe(
        about="All 140 games of ALFWorld's split valid_seen.",
        env=_ALFWORLD,
        evaluation=("evaluation.split=valid_seen",),
    ),
    "alfworld_unseen_134": Recipe(
        about="All 134 games of ALFWorld's split valid_unseen.",
        env=_ALFWORLD,
        evaluation=("evaluation.split=valid_unseen",),
    ),
    "webshop_500": Recipe(
        about="WebShop's test goals: instructions 0 to 499 by people, in the catalogue of 1.18 million products.",
        env=("env=webshop", "env.catalogue=all", "env.goals=human", "env.price_seed=42"),
        evaluation=("evaluation.split=test",),
    ),
    "webshop_small_500": Recipe(
        about="Synthetic goals 0 to 499 in WebShop's catalogue of 1,000 products.",
        env=("env=webshop", "env.catalogue='1000'", "env.goals=synthetic", "env.price_seed=42"),
        evaluation=("evaluation.split=test",),
    ),
    "intercode_87": Recipe(
        about="InterCode-Bash's 87 queries about file systems 3 and 4.",
        env=("env=intercode_bash", "env.tasks=official"),
        evaluation=("evaluation.split=test",),
    ),
    "builtin_alfworld_120": Recipe(
        about="All 120 built-in households with rooms that never occur in training.",
        env=_HOUSEHOLDS,
        evaluation=("evaluation.split=valid_unseen",),
    ),
    "builtin_alfworld_seen_120": Recipe(
        about="All 120 built-in households with rooms that occur in training, but other tasks.",
        env=_HOUSEHOLDS,
        evaluation=("evaluation.split=valid_seen",),
    ),
    "builtin_alfworld_60": Recipe(
        about="60 of builtin_alfworld_120, the panel of the experiments.",
        env=_HOUSEHOLDS,
        evaluation=("evaluation.split=valid_unseen", "evaluation.tasks=60"),
    ),
    "builtin_alfworld_36": Recipe(
        about="36 of builtin_alfworld_120, the panel of the default run.",
        env=_HOUSEHOLDS,
        evaluation=("evaluation.split=valid_unseen", "evaluation.tasks=36"),
    ),
    "builtin_webshop_500": Recipe(
        about="All 500 test goals of the built-in shop.",
        env=_SHOP,
        evaluation=("evaluation.split=test",),
    ),
    "builtin_webshop_40": Recipe(
        about="40 test goals of the built-in shop, the panel of the experiments.",
        env=_SHOP,
        evaluation=("evaluation.split=test", "evaluation.tasks=40"),
    ),
    "builtin_intercode_176": Recipe(
        about="All 176 built-in queries about file trees that never occur in training.",
        env=_QUERIES,
        evaluation=("evaluation.split=test",),
    ),
    "builtin_intercode_48": Recipe(
        about="48 built-in queries about file trees that never occur in training, the panel of the experiments.",
        env=_QUERIES,
        evaluation=("evaluation.split=test", "evaluation.tasks=48"),
    ),
}
"""The named panels. The file of one that needs more data than its makers had does not come with the package."""


def user_panel(name: str) -> Path:
    """Return where ``leap data panel NAME`` writes, which may not exist."""
    return data_folder() / "panels" / f"{name}.json"


def find_panel(name: str) -> PanelFile:
    """Return the panel ``name``: a file, a panel that the user has made, or one that comes with the package.

    Raises:
        ConfigError: There is no such panel.
        DataError: It cannot be read.
    """
    if name.endswith(".json"):
        return read_panel_file(Path(name))
    if user_panel(name).is_file():
        return read_panel_file(user_panel(name))
    shipped = files("leap_exp.config").joinpath("panel_files", f"{name}.json")
    if shipped.is_file():
        with as_file(shipped) as path:
            return read_panel_file(path)
    if name in RECIPES:
        raise ConfigError(
            f"evaluation.panel={name} does not come with leap_exp: install the data that it needs and run leap data "
            f"panel {name}."
        )
    raise ConfigError(f"There is no panel {name}; give the .json file of one, or choose one of: {', '.join(RECIPES)}.")


def choose_panel(config: EvaluationConfig, environment: Environment) -> Panel:
    """Return the panel that ``config`` names or describes, with the tasks of ``environment``.

    Raises:
        LeapError: There is none, or the installed data differ from those that it was made from.
    """
    if config.panel is not None:
        return find_panel(config.panel).panel(environment, seed=config.panel_seed)
    return draw_panel(
        environment.tasks(config.split),
        split=config.split,
        size=config.tasks,
        seed=config.panel_seed,
        advice=environment.more_tasks(config.split),
    )


def make_panel(name: str, changes: Sequence[str]) -> PanelFile:
    """Make the panel ``name`` from the installed data: by its recipe or, if it has none, as ``changes`` say.

    Args:
        name: The name.
        changes: Settings as on the command line of ``leap run``: ``env=…``, ``env.…`` and ``evaluation.…``.

    Raises:
        LeapError: A setting is not valid, the recipe would be changed, or data are missing.
    """
    recipe = RECIPES.get(name)
    if recipe and changes:
        raise ConfigError(f"The panel {name} has its own settings; leave out {changes[0]}, or choose another name.")
    if not recipe and not any(change.startswith("env=") for change in changes):
        raise ConfigError(f"Say which environment the panel {name} is for, such as env=alfworld.")
    given = [*recipe.env, *recipe.evaluation] if recipe else [*changes]
    env = sorted((each for each in given if each.startswith(("env=", "env."))), key=lambda each: each[:4] != "env=")
    config = composed(
        [*given, *([] if any("evaluation.tasks" in each for each in given) else ["evaluation.tasks=null"])]
    )
    environment = config.env.build()
    panel = choose_panel(config.evaluation, environment)
    about = recipe.about if recipe else f"{len(panel.tasks)} tasks of the split {panel.split}."
    return make_panel_file(panel, environment, name=name, about=about, settings=env)


def composed(overrides: Sequence[str]) -> RunConfig:
    """Return the settings of ``leap run`` with ``overrides``.

    Raises:
        ConfigError: A setting is not valid.
    """
    register()
    try:
        with initialize_config_dir(str(conf_dir()), version_base="1.3"):
            return run_config(compose("config", overrides=list(overrides)))
    except (HydraException, OmegaConfBaseException) as error:
        raise ConfigError(explain(error)) from error
