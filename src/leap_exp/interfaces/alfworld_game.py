"""An ALFWorld game with the interface of TextWorld's environments, and ALFWorld's wrappers around it.

``AlfredDemangler``, ``AlfredInfos`` and ``AlfredExpert`` take the place of alfworld's classes of these names: in
``leap_exp.interfaces.alfworld_batch``, or in a list of wrappers for TextWorld itself.
"""

import json
import logging
import random
import re
from collections.abc import Sequence
from dataclasses import MISSING, dataclass, field, fields
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple, Self

from leap_exp.core.errors import ConfigError, EnvError
from leap_exp.core.types import Decision, Observation, Step, Task, View
from leap_exp.envs.alfworld.engine.fast import FastPlay, World
from leap_exp.envs.alfworld.engine.game import Game, read_game
from leap_exp.envs.alfworld.engine.pddl import without_comments
from leap_exp.envs.alfworld.engine.state import Object, Receptacle
from leap_exp.envs.alfworld.teaching.expert import expert_action
from leap_exp.envs.alfworld.teaching.planner import plan_commands, shortest_plan
from leap_exp.envs.alfworld.teaching.subtask import is_readable

logger = logging.getLogger(__name__)

_AGENT = "agent1"
_EXPERT_STEPS = 200
TRACKED = ("inreceptacle", "holds", "isclean", "ishot", "iscool", "istoggled", "opened")
"""The predicates of the facts that are shown; TextWorld shows all facts, most of which never change."""
_NUMERIC_FACT = re.compile(r"\(=\s*\([^()]*\)[^()]*\)")
_FACT = re.compile(r"\(([^\s()=]+)((?:\s+[^\s()]+)+)\s*\)")


class GameState(dict[str, Any]):
    """What a TextWorld environment returns: keys can be read as attributes, and one that is missing is None."""

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - values have any type
        return self.get(name)


@dataclass
class EnvInfos:
    """What is asked of a game, with the names of TextWorld's class."""

    won: bool = False
    admissible_commands: bool = False
    facts: bool = False
    policy_commands: bool = False
    extras: list[str] = field(default_factory=list)


class Fact(NamedTuple):
    """A fact about a state, such as ``inreceptacle`` of ``mug 1`` and ``cabinet 2``."""

    name: str
    names: tuple[str, ...]


class AlfredDemangler:
    """A game with the names that players see, on the fast engine.

    In alfworld this wrapper renames the objects of a TextWorld environment. Here it is the whole game: what it wraps is
    only asked for its ``request_infos`` and, if it limits the number of steps, its ``max_episode_steps``.

    Args:
        env: A TextWorld environment that takes no part in the game, or None.
        shuffle: Whether the numbers in names are dealt at random (by Python's global generator) when a game is loaded.
    """

    def __init__(self, env: Any = None, *, shuffle: bool = False) -> None:  # noqa: ANN401 - TextWorld has no types
        self.shuffle = shuffle
        self.request_infos: Any = EnvInfos()
        self.max_episode_steps: int | None = None
        if env is not None:
            self(env)

    def __call__(self, env: Any) -> Self:  # noqa: ANN401 - TextWorld has no types
        """Take the place of ``env``, and return this game."""
        self.request_infos = getattr(env, "request_infos", None) or EnvInfos()
        self.max_episode_steps = getattr(env, "max_episode_steps", None)
        return self

    def load(self, gamefile: str) -> None:
        """Read the game in the file ``gamefile``.

        Raises:
            DataError: The file cannot be read, or the fast engine cannot play the game.
        """
        self.game = read_game(Path(gamefile))
        if self.shuffle:
            self.game = _renumbered(self.game, json.loads(Path(gamefile).read_text(encoding="utf-8"))["pddl_problem"])

    def reset(self) -> GameState:
        """Start the game from its beginning and return its state."""
        self._play = FastPlay(self.game)
        self._steps = 0
        return self._state()

    def step(self, command: str) -> tuple[GameState, int, bool]:
        """Execute ``command``; return the state, the score (0 or 1), and whether the game is over."""
        self._play.step(command)
        self._steps += 1
        state = self._state()
        state["last_command"] = command.strip()
        state["score"], state["done"] = int(self._play.won), self._play.won
        out_of_steps = self.max_episode_steps is not None and self._steps >= self.max_episode_steps
        return state, state["score"], self._play.won or out_of_steps

    def seed(self, seed: int | None = None) -> list[int]:  # noqa: ARG002 - TextWorld's interface
        """Do nothing: a game has nothing random."""
        return []

    def close(self) -> None:
        """Do nothing: a game holds no resources."""

    def _state(self) -> GameState:
        play = self._play
        state = GameState(
            feedback=play.text, raw=play.text, won=play.won, lost=False, admissible_commands=list(play.admissible)
        )
        if self.request_infos.facts:
            state["facts"] = tracked_facts(play.world)
        if self.request_infos.policy_commands:
            state["policy_commands"] = plan_commands(play.world, shortest_plan(play.world) or ())
        if "walkthrough" in self.request_infos.extras:
            state["extra.walkthrough"] = list(self.game.walkthrough)
        return state


class _Wrapper:
    """A wrapper that passes everything on to the environment inside."""

    def __init__(self, env: Any = None) -> None:  # noqa: ANN401 - TextWorld has no types
        self._env = env

    def __call__(self, env: Any) -> Self:  # noqa: ANN401 - TextWorld has no types
        """Wrap ``env``, and return this wrapper."""
        self._env = env
        return self

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - TextWorld has no types
        if name.startswith("__") or "_env" not in self.__dict__:
            raise AttributeError(name)
        return getattr(self._env, name)


class AlfredInfos(_Wrapper):
    """Adds ``extra.gamefile``, the path of the game, to the first state of each game, as alfworld does."""

    def load(self, gamefile: str) -> None:
        """Load the game in the file ``gamefile``."""
        self._env.load(gamefile)
        self._gamefile = gamefile

    def reset(self) -> GameState:
        """Start the game and return its state."""
        state: GameState = self._env.reset()
        state["extra.gamefile"] = self._gamefile
        return state


class AlfredExpertType:
    """The two experts."""

    HANDCODED = "handcoded"
    PLANNER = "planner"


class AlfredExpert(_Wrapper):
    """Adds ``extra.expert_plan``: the next command of the hand-coded expert, or a shortest plan of the planner.

    Hand-coded is alfworld's own expert if alfworld is installed; if not, it is the scripted expert of this package that
    knows only the history. A warning says so.

    Raises:
        ConfigError: There is no such expert.
    """

    def __init__(self, env: Any = None, expert_type: str = AlfredExpertType.HANDCODED) -> None:  # noqa: ANN401
        super().__init__(env)
        if expert_type not in (AlfredExpertType.HANDCODED, AlfredExpertType.PLANNER):
            raise ConfigError(f"There is no expert of the type {expert_type!r}: use 'handcoded' or 'planner'.")
        self.expert_type = expert_type

    def load(self, gamefile: str) -> None:
        """Load the game in the file ``gamefile``."""
        self._env.load(gamefile)
        wanted = "policy_commands" if self.expert_type == AlfredExpertType.PLANNER else "facts"
        setattr(self._env.request_infos, wanted, True)

    def reset(self) -> GameState:
        """Start the game and return its state with the plan."""
        state: GameState = self._env.reset()
        if self.expert_type == AlfredExpertType.HANDCODED:
            self._expert = _AlfworldsExpert(self._env.game) if _has_alfworld() else _ScriptedExpert(self._env.game)
        return self._with_plan(state, "")

    def step(self, command: str) -> tuple[GameState, int, bool]:
        """Execute ``command``; return the state with the plan, the score, and whether the game is over."""
        state, score, done = self._env.step(command)
        return self._with_plan(state, str(command)), score, done

    def _with_plan(self, state: GameState, last_command: str) -> GameState:
        if self.expert_type == AlfredExpertType.PLANNER:
            state["extra.expert_plan"] = state["policy_commands"]
            return state
        command = self._expert.next_command(state, last_command)
        state["extra.expert_plan"] = [command if command in state["admissible_commands"] else "look"]
        return state


class _AlfworldsExpert:
    """The hand-coded expert of the installed alfworld package."""

    def __init__(self, game: Game) -> None:
        from alfworld.agents.expert import HandCodedTWAgent

        goal = game.goal
        # What alfworld reads from traj_data.json, which its archive of text games does not have.
        parameters = {
            "task_type": goal.task_type,
            "object_target": goal.object_kind,
            "parent_target": goal.receptacle_kind,
            "toggle_target": goal.lamp_kind,
            "mrecep_target": "",
            "object_sliced": goal.sliced,
        }
        self._agent = HandCodedTWAgent(max_steps=_EXPERT_STEPS)
        self._agent.policy = self._agent.get_task_policy(parameters)(parameters, max_steps=_EXPERT_STEPS)

    def next_command(self, state: GameState, last_command: str) -> str:
        """Return the expert's command after ``last_command``, which is empty at the start.

        Raises:
            EnvError: The game has taken more steps than the expert allows.
        """
        from alfworld.agents.expert import HandCodedAgentTimeout

        if not last_command:
            self._agent.observe(state["feedback"])
            return "look"
        try:
            return str(self._agent.act(state, 0, state["won"], last_command))
        except HandCodedAgentTimeout as error:
            raise EnvError(
                f"alfworld's expert gives up after {_EXPERT_STEPS} steps: allow fewer steps per episode, or use "
                "expert_type: planner."
            ) from error


class _ScriptedExpert:
    """The scripted expert of this package, which knows only the history."""

    def __init__(self, game: Game) -> None:
        self._task = Task(id=game.id, split="any", instruction=game.instruction, kind=game.goal.task_type)
        self._history: list[Step] = []
        self._observation: Observation | None = None

    def next_command(self, state: GameState, last_command: str) -> str:
        """Return the expert's command after ``last_command``; "look" if the game is won or its task unreadable."""
        if self._observation and last_command:
            decision = Decision(reason="", action=last_command)
            self._history.append(Step(observation=self._observation, decision=decision, reward=0.0))
        self._observation = Observation(text=state["feedback"], admissible_actions=tuple(state["admissible_commands"]))
        if state["won"] or not is_readable(self._task.instruction):
            return "look"
        return expert_action(View(task=self._task, history=tuple(self._history), observation=self._observation))


@cache
def _has_alfworld() -> bool:
    try:
        import alfworld.agents.expert  # noqa: F401
    except ImportError as error:
        logger.warning(
            "alfworld is not installed (%s), so extra.expert_plan gives the commands of leap_exp's own expert; "
            "pip install 'leap-exp[alfworld]' for alfworld's, or set expert_type to planner",
            error,
        )
        return False
    return True


def tracked_facts(world: World) -> list[Fact]:
    """Return the facts of a state that alfworld's expert reads (see ``TRACKED``), under TextWorld's names."""
    game = world.game
    facts = [
        Fact("inreceptacle", (game.objects[thing].name, place.name))
        for place in game.receptacles
        for thing in world.contents[place.index]
    ]
    if world.held >= 0:
        facts.append(Fact("holds", (_AGENT, game.objects[world.held].name)))
    masks = {"isclean": world.clean, "ishot": world.hot, "iscool": world.cool, "istoggled": world.toggled}
    facts += [
        Fact(name, (thing.name,)) for name, mask in masks.items() for thing in game.objects if mask >> thing.index & 1
    ]
    return facts + [Fact("opened", (place.name,)) for place in game.receptacles if world.opened >> place.index & 1]


def _renumbered(game: Game, problem: str) -> Game:
    """Return ``game`` with the numbers in its names dealt at random, by the same draws as in alfworld."""
    ids = _entities(problem)
    random.shuffle(ids)
    entities: list[Receptacle | Object] = [*game.receptacles, *game.objects]
    kinds = {entity.id: entity.kind for entity in entities}
    left = dict.fromkeys(kinds.values(), 0)
    for each in kinds.values():
        left[each] += 1
    names = {}
    for name in ids:
        if kind := kinds.get(name):
            names[name] = f"{kind} {left[kind]}"
            left[kind] -= 1
    # The other fields hold commands that were rendered with the old names.
    kept = {each.name: getattr(game, each.name) for each in fields(game) if each.default_factory is MISSING}
    kept["receptacles"] = tuple(place._replace(name=names[place.id]) for place in game.receptacles)
    kept["objects"] = tuple(thing._replace(name=names[thing.id]) for thing in game.objects)
    return Game(**kept)


def _entities(problem: str) -> list[str]:
    """Return the ids in the facts of a PDDL problem, sorted; TextWorld leaves distances out."""
    text = without_comments(problem)
    facts: Sequence[tuple[str, str]] = _FACT.findall(
        _NUMERIC_FACT.sub("", text[text.index("(:init") + len("(:init") : text.index("(:goal")])
    )
    return sorted({name for _, names in facts for name in names.split()})
