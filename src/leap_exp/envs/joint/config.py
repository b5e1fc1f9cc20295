"""Settings of several environments that are joined.

Each field of ``JointConfig`` that is an ``EnvironmentConfig`` can be a member. A package that joins other environments
subclasses it, with a field for each.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import ClassVar

from leap_exp.core.components import EnvironmentConfig
from leap_exp.core.errors import ConfigError
from leap_exp.core.limits import StepLimits
from leap_exp.core.settings import setting, settings
from leap_exp.envs.alfworld.config import AlfworldConfig
from leap_exp.envs.intercode_bash.config import InterCodeBashConfig
from leap_exp.envs.webshop.config import WebShopConfig

TEST_SPLIT = "test"
"""The split whose tasks are those that the members are evaluated on."""


@dataclass
class AlfworldMember(AlfworldConfig):
    """Household tasks in a text world."""

    place: ClassVar[str] = "env.alfworld"


@dataclass
class WebShopMember(WebShopConfig):
    """An online store of text pages: buy what an instruction asks for."""

    place: ClassVar[str] = "env.webshop"


@dataclass
class InterCodeBashMember(InterCodeBashConfig):
    """Shell commands in a sandbox that do what a query asks for."""

    place: ClassVar[str] = "env.intercode_bash"


@dataclass
class JointConfig(EnvironmentConfig):
    """Several environments as one, for a student that learns all of them."""

    builds: ClassVar[str] = "leap_exp.envs.joint.environment:JointEnvironment"

    max_steps_train: int = setting(100, "Maximum steps of a training episode, whatever a member's own are.", minimum=1)
    max_steps_eval: int = setting(
        100, "Maximum steps of an evaluation episode, whatever a member's own are.", minimum=1
    )
    members: list[str] = settings(
        lambda: ["alfworld", "webshop", "intercode_bash"], "The environments to join; each has its settings below."
    )
    shares: dict[str, float] | None = setting(
        None, "Each member's share of demonstrations and rollouts, in any unit; null for those of temperature."
    )
    temperature: float = setting(
        math.inf, "Shares in proportion to (number of tasks)^(1/temperature): 1 by size, inf equal.", above=0
    )
    test_splits: dict[str, str] = settings(
        lambda: {"alfworld": "valid_unseen"}, "The split of a member that the panel is drawn from; of others, test."
    )
    alfworld: AlfworldMember = settings(AlfworldMember, "ALFWorld, if it is a member.")
    webshop: WebShopMember = settings(WebShopMember, "WebShop, if it is a member.")
    intercode_bash: InterCodeBashMember = settings(InterCodeBashMember, "InterCode-Bash, if it is a member.")

    def check_together(self) -> None:
        """Check that members exist and are different, and that shares name them; raises ConfigError."""
        known = [item.name for item in fields(self) if isinstance(getattr(self, item.name), EnvironmentConfig)]
        given = ", ".join(self.members)
        if unknown := [name for name in self.members if name not in known]:
            raise ConfigError(f"env.members=[{given}] contains {unknown[0]!r}: choose from {', '.join(known)}.")
        if not self.members or len(set(self.members)) < len(self.members):
            raise ConfigError(f"env.members=[{given}] is not valid: name each environment to join once.")
        if self.shares is not None:
            self._check_shares(self.shares)

    def _check_shares(self, shares: Mapping[str, float]) -> None:
        if shares.keys() != set(self.members) or min(shares.values()) < 0 or not 0 < sum(shares.values()) < math.inf:
            raise ConfigError(
                f"env.shares={shares} is not valid: give each of {', '.join(self.members)} a share of 0 or more, and "
                "one of them more than 0."
            )

    @property
    def member_settings(self) -> Mapping[str, EnvironmentConfig]:
        """The settings of the members, by name."""
        return {name: getattr(self, name) for name in self.members}

    @property
    def step_limits(self) -> StepLimits:
        """The members' own limits, or those of all where they are lower."""
        members = self.member_settings
        return StepLimits(
            train={name: min(self.max_steps_train, each.max_steps_train) for name, each in members.items()},
            evaluate={name: min(self.max_steps_eval, each.max_steps_eval) for name, each in members.items()},
        )
