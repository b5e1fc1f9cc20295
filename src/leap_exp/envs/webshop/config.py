"""Settings of WebShop."""

from dataclasses import dataclass
from typing import ClassVar

from leap_exp.core.components import EnvironmentConfig
from leap_exp.core.settings import setting
from leap_exp.envs.webshop.engine.goals import DEFAULT_PRICE_SEED
from leap_exp.envs.webshop.engine.pages import ObservationMode
from leap_exp.envs.webshop.engine.products import GoalKind


@dataclass
class WebShopConfig(EnvironmentConfig):
    """An online store of text pages: buy what an instruction asks for."""

    builds: ClassVar[str] = "leap_exp.envs.webshop.environment:WebShopEnvironment"
    commands: ClassVar[str] = "leap_exp.envs.webshop.commands"

    max_steps_train: int = setting(15, "Maximum steps of a training episode.", minimum=1)
    catalogue: str = setting("builtin", "builtin (generated), 1000 or all (leap data install webshop) or a folder.")
    goals: str = setting("human", "Instructions written by people, or synthetic ones.", choices=tuple(GoalKind))
    observation: str = setting("text", "How pages are written.", choices=tuple(ObservationMode))
    item_names: bool = setting(True, "Whether admissible actions click results by name; ids always work.")
    price_seed: int = setting(DEFAULT_PRICE_SEED, "Seed of prices that are drawn from a range, and of price limits.")
    builtin_seed: int = setting(0, "Seed of the built-in catalogue.")
    select: str = setting("", "Goals of a split to keep: an index range such as 0:50; empty for all.")
