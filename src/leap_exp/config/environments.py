"""Schemas of the group ``env``."""

from dataclasses import dataclass

from leap_exp.config.schema import require_at_least, require_choice, setting, settings
from leap_exp.core.protocols import Environment


@dataclass
class EnvConfig:
    """What every environment can be set to."""

    train_split: str = setting("train", "Split that demonstrations and rollouts are drawn from.")
    max_steps_train: int = setting(20, "Steps after which a training episode ends.")
    max_steps_eval: int = setting(30, "Steps after which an evaluation episode ends.")

    def __post_init__(self) -> None:
        """Refuse step limits that leave nothing to do."""
        require_at_least("env.max_steps_train", self.max_steps_train, 1)
        require_at_least("env.max_steps_eval", self.max_steps_eval, 1)

    def build(self) -> Environment:
        """The environment."""
        raise NotImplementedError


@dataclass
class AlfworldConfig(EnvConfig):
    """Household tasks in a text world."""

    engine: str = setting("fast", "fast (plain Python) or textworld (the reference; needs the extra alfworld).")
    games: str = setting(
        "builtin", "builtin (generated), official (python -m leap_exp.data install alfworld) or a folder."
    )
    household: str = setting("small", "Size of built-in households: small or full.")
    builtin_seed: int = setting(0, "Seed of the built-in games.")
    builtin_counts: dict[str, int] | None = setting(None, "Built-in games of each split; null for the usual numbers.")
    task_types: list[str] = settings(list, "Task types to keep; empty for all.")
    select: str = setting("", "Games to keep: an index range such as 0:50, or ids with commas between; empty for all.")

    def __post_init__(self) -> None:
        """Refuse an unknown engine or household."""
        super().__post_init__()
        require_choice("env.engine", self.engine, ("fast", "textworld"))
        require_choice("env.household", self.household, ("small", "full"))

    def build(self) -> Environment:
        """The environment with its list of games."""
        from leap_exp.envs.alfworld import AlfworldEnvironment

        return AlfworldEnvironment(
            engine=self.engine,
            games=self.games,
            household=self.household,
            builtin_seed=self.builtin_seed,
            builtin_counts=self.builtin_counts,
            task_types=tuple(self.task_types),
            select=self.select,
        )


@dataclass
class WebShopConfig(EnvConfig):
    """Buying what an instruction asks for, in a shop of text pages."""

    max_steps_train: int = setting(15, "Steps after which a training episode ends.")
    catalogue: str = setting(
        "builtin", "builtin (generated), 1000 or all (python -m leap_exp.data install webshop) or a catalogue's folder."
    )
    goals: str = setting("human", "human (instructions that people wrote) or synthetic.")
    observation: str = setting("text", "How pages are written: text or text_rich.")
    item_names: bool = setting(True, "Whether admissible actions click results by name; ids always work.")
    price_seed: int = setting(42, "Seed of the prices that are drawn between two bounds, and of price limits.")
    builtin_seed: int = setting(0, "Seed of the built-in catalogue.")
    select: str = setting("", "Goals of a split to keep: an index range such as 0:50; empty for all.")

    def __post_init__(self) -> None:
        """Refuse unknown goals and ways to write pages."""
        super().__post_init__()
        require_choice("env.goals", self.goals, ("human", "synthetic"))
        require_choice("env.observation", self.observation, ("text", "text_rich"))

    def build(self) -> Environment:
        """The environment, its catalogue open."""
        from leap_exp.envs.webshop import WebShopEnvironment

        return WebShopEnvironment(
            catalogue=self.catalogue,
            goals=self.goals,
            observation=self.observation,
            item_names=self.item_names,
            price_seed=self.price_seed,
            builtin_seed=self.builtin_seed,
            select=self.select,
        )


@dataclass
class InterCodeBashConfig(EnvConfig):
    """Shell commands that do what a request asks for, in a sandbox."""

    max_steps_train: int = setting(10, "Steps after which a training episode ends.")
    max_steps_eval: int = setting(10, "Steps after which an evaluation episode ends.")
    tasks: str = setting(
        "builtin", "builtin (generated), official (python -m leap_exp.data install intercode) or a folder."
    )
    sandbox: str = setting("auto", "docker, bubblewrap, or auto: Docker if an engine answers, else bubblewrap.")
    base: str = setting(
        "host",
        "Programs in bubblewrap's sandboxes: host or rootfs (python -m leap_exp.data install intercode_rootfs).",
    )
    quoting: str = setting("original", "How commands reach the shell: original (with its quirks) or exact.")
    builtin_seed: int = setting(0, "Seed of the built-in requests and file trees.")
    select: str = setting("", "Requests of a split to keep: an index range such as 0:50; empty for all.")
    command_seconds: float = setting(10.0, "Seconds after which a command is killed.")
    shown_characters: int = setting(2000, "Characters shown of an output; the middle of a longer one is left out.")

    def __post_init__(self) -> None:
        """Refuse an unknown quoting, and limits that leave nothing to do or see."""
        super().__post_init__()
        require_choice("env.quoting", self.quoting, ("original", "exact"))
        require_at_least("env.command_seconds", self.command_seconds, 0.1)
        require_at_least("env.shown_characters", self.shown_characters, 100)

    def build(self) -> Environment:
        """The environment; sandboxes are made when they are needed."""
        from leap_exp.envs.intercode_bash import InterCodeBashEnvironment

        return InterCodeBashEnvironment(
            tasks=self.tasks,
            sandbox=self.sandbox,
            base=self.base,
            quoting=self.quoting,
            builtin_seed=self.builtin_seed,
            select=self.select,
            seconds=self.command_seconds,
            shown_characters=self.shown_characters,
        )
