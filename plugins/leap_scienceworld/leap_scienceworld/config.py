"""Settings of ScienceWorld."""

from dataclasses import dataclass
from typing import ClassVar

from leap_exp.core.components import EnvironmentConfig
from leap_exp.core.settings import setting, settings


@dataclass
class ScienceWorldConfig(EnvironmentConfig):
    """Elementary science experiments in a text world of ten rooms; needs Java."""

    builds: ClassVar[str] = "leap_scienceworld.environment:ScienceWorldEnvironment"
    commands: ClassVar[str] = "leap_scienceworld.commands"

    max_steps_train: int = setting(100, "Maximum steps of a training episode.", minimum=1)
    max_steps_eval: int = setting(100, "Maximum steps of an evaluation episode.", minimum=1)
    tasks: list[str] = settings(list, "Names of tasks to keep, such as [boil,melt]; all 30 if empty.")
    variations: int = setting(0, "Variations to keep of each task in each split, from the first; 0 for all.", minimum=0)
    simplifications: list[str] = settings(list, "The package's simplifications, such as [easy]; none if empty.")
    simulators: int = setting(
        0, "Maximum number of simulators (a JVM each); 0 for as many as half of the memory holds.", minimum=0
    )
    seconds: float = setting(120.0, "Seconds after which a simulator that does not answer is replaced.", above=0)
