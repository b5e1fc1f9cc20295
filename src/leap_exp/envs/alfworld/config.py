"""Settings of ALFWorld."""

from dataclasses import dataclass
from typing import ClassVar

from leap_exp.core.components import EnvironmentConfig
from leap_exp.core.errors import ConfigError
from leap_exp.core.settings import setting, settings
from leap_exp.envs.alfworld.builtin import SPLIT_ROOMS
from leap_exp.envs.alfworld.builtin.catalogue import HOUSEHOLDS
from leap_exp.envs.alfworld.engine.goal import TASK_TYPES
from leap_exp.envs.alfworld.engine.wording import MOVE, PUT
from leap_exp.envs.alfworld.human_goals import ORIGINAL_SEED


@dataclass
class AlfworldConfig(EnvironmentConfig):
    """Household tasks in a text world."""

    builds: ClassVar[str] = "leap_exp.envs.alfworld.environment:AlfworldEnvironment"
    commands: ClassVar[str] = "leap_exp.envs.alfworld.commands"

    engine: str = setting(
        "fast",
        "fast (plain Python) or textworld (the reference; needs the extra alfworld).",
        choices=("fast", "textworld"),
    )
    games: str = setting("builtin", "builtin (generated), official (leap data install alfworld) or a folder.")
    household: str = setting("small", "Size of built-in households.", choices=HOUSEHOLDS)
    builtin_seed: int = setting(0, "Seed of the built-in games.")
    builtin_counts: dict[str, int] | None = setting(None, "Built-in games per split; null for the default numbers.")
    human_goals: float = setting(
        0.0,
        "Probability that a game's task is a sentence that a person wrote (goal_desc_human_anns_prob), from "
        "traj_data.json beside the game.",
        minimum=0,
        maximum=1,
    )
    human_goals_seed: int = setting(ORIGINAL_SEED, "Seed of these draws; the default is that of alfworld-generate.")
    wording: str | None = setting(
        None,
        "How a thing is put down: put (put X in/on Y, as in ALFWorld's older games) or move (move X to Y); null for as "
        "the games have it.",
        choices=(PUT, MOVE),
    )
    task_types: list[str] = settings(list, "Task types to keep; empty for all.")
    select: str = setting("", "Games to keep: an index range such as 0:50, or ids separated by commas; empty for all.")

    def check_together(self) -> None:
        """Check the names of task types and splits, and that there can be sentences that people wrote."""
        if self.human_goals and self.games == "builtin":
            name = self.setting_name("human_goals")
            raise ConfigError(
                f"{name}={self.human_goals} needs ALFRED's annotations, which built-in games do not have; set "
                f"{self.setting_name('games')}."
            )
        for field, names, choices in (
            ("task_types", self.task_types, TASK_TYPES),
            ("builtin_counts", self.builtin_counts or {}, SPLIT_ROOMS),
        ):
            if unknown := [name for name in names if name not in choices]:
                raise ConfigError(
                    f"{self.setting_name(field)} contains {unknown[0]!r}, which is unknown: "
                    f"choose from {', '.join(choices)}."
                )
