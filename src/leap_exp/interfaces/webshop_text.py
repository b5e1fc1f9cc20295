"""Drop-in for ``web_agent_site.envs.WebAgentTextEnv``: WebShop's text environment, without Java.

Agent code changes one import:

    from leap_exp.interfaces.webshop_text import WebAgentTextEnv

    env = WebAgentTextEnv(observation_mode="text", file_path="items_shuffle_1000.json", human_goals=True)
    observation, _ = env.reset(session=0)
    observation, reward, done, info = env.step("search[red shoes]")

The catalogue has to be installed (``leap data install webshop``), or ``file_path`` is ``"builtin"``.
"""

import bisect
import random
import string
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, overload

import numpy as np

from leap_exp.core.errors import ConfigError, DataError
from leap_exp.envs.webshop.engine.authors_files import SIZES
from leap_exp.envs.webshop.engine.catalogue import DESCRIPTION_FILE, Catalogue
from leap_exp.envs.webshop.engine.goals import DEFAULT_PRICE_SEED, ORDER_SEED, GoalList
from leap_exp.envs.webshop.engine.pages import ObservationMode
from leap_exp.envs.webshop.engine.products import GoalKind
from leap_exp.envs.webshop.engine.shop import PageKind, Session, Shop
from leap_exp.envs.webshop.installation import BUILTIN, installed_folder, open_catalogue
from leap_exp.interfaces.webshop_html import as_html

OBSERVATION_MODES = ("html", "text", "text_rich", "url")

_SIZES_BY_FILE = {products: size for size, (products, _) in SIZES.items()}
_SMALL = "1000"
_NAME_LENGTH = 10
_IGNORED = ("get_image", "show_attrs")

GoalFilter = Callable[[int, Mapping[str, Any]], bool]
"""Called with the index and the goal; returns whether the goal is kept."""


class SimServer:
    """A catalogue with its goals and sessions; several environments can share one.

    Like the original, it seeds Python's global generator (with 233) and draws goals from it.

    Attributes:
        user_sessions: By name of the session: its ``goal``, ``done``, and after a step ``asin`` and ``options``; after
            a purchase also ``reward`` and its parts, ``verbose_info``.
        assigned_instruction_text: Shown from the next reset on instead of the goal's instruction, unless it is None.

    Args:
        catalogue: The catalogue.
        human_goals: Whether the goals are those that people wrote.
        filter_goals: Keeps the goals for which it returns true.
        limit_goals: Keeps so many goals, drawn by weight; -1 keeps all.
        price_seed: Seed of prices and price limits.

    Raises:
        ConfigError: ``filter_goals`` or ``limit_goals`` leaves no goal.
        DataError: The catalogue has no goals of this kind.
    """

    def __init__(
        self, catalogue: Catalogue, *, human_goals: bool = False, filter_goals: GoalFilter | None = None,
        limit_goals: int = -1, price_seed: int = DEFAULT_PRICE_SEED,
    ) -> None:  # fmt: skip
        kind = GoalKind.HUMAN if human_goals else GoalKind.SYNTHETIC
        self.shop = Shop(catalogue, GoalList(catalogue, kind=kind, price_seed=price_seed))
        self._kind = kind
        self._indices: Sequence[int] = range(len(self.shop.goals))
        self.user_sessions: dict[str, dict[str, Any]] = {}
        self.assigned_instruction_text: str | None = None
        # The original shuffles its goals here; the catalogue has them in that order, but later draws depend on it.
        random.seed(ORDER_SEED)
        random.shuffle(list(self._indices))
        if filter_goals is not None:
            goals = self.goals
            self._indices = [index for index in self._indices if filter_goals(index, goals[index])]
            if not self._indices:
                raise ConfigError(f"filter_goals leaves none of the {len(goals)} goals: use another filter.")
        if limit_goals != -1 and limit_goals < 1:
            raise ConfigError(f"limit_goals={limit_goals} leaves no goal: use a number from 1, or -1 for all goals.")
        if limit_goals != -1 and limit_goals < len(self._indices):
            drawn: dict[int, None] = {}
            while len(drawn) < limit_goals:
                drawn[self._draw()] = None
            self._indices = [self._indices[place] for place in drawn]
            del self.cum_weights

    @property
    def goals(self) -> Sequence[Mapping[str, Any]]:
        """The goals, in the original's order and form; each is made when it is used."""
        return _Goals(self, self._indices)

    @cached_property
    def cum_weights(self) -> list[float]:
        """The sums of the goals' weights up to each goal, from 0."""
        return [0.0, *np.cumsum([self.weight(index) for index in self._indices]).tolist()]

    def weight(self, index: int) -> float:
        """Return the weight with which the goal at ``index`` of the catalogue's list is drawn."""
        row = int(self.shop.catalogue.goal_table(self._kind)[index][0])
        return self._weights[row] if self._kind is GoalKind.SYNTHETIC else 1.0

    @cached_property
    def _weights(self) -> dict[int, float]:
        """The weights of synthetic goals by row of the product: the rarer its attributes, the higher."""
        catalogue = self.shop.catalogue
        rows, counts = np.unique(catalogue.goal_table(self._kind)[:, 0], return_counts=True)
        attributes = {}
        frequency: dict[str, int] = {}
        for row, count in zip(rows.tolist(), counts.tolist(), strict=True):
            instruction = catalogue.product(row).synthetic_instruction
            attributes[row] = instruction.attributes if instruction else ()
            for attribute in attributes[row]:
                frequency[attribute] = frequency.get(attribute, 0) + count
        return {row: sum(1.0 / frequency[name] for name in names) / len(names) for row, names in attributes.items()}

    def open(self, name: str, goal: int | None, mode: ObservationMode) -> Session:
        """Start or restart the session ``name``; its goal stays the one that it got first.

        Args:
            name: The session.
            goal: Index of the goal if the session is new; None draws one by weight.
            mode: How pages are written.

        Raises:
            DataError: There is no such goal.
        """
        if name not in self.user_sessions:
            index = self._draw() if goal is None else goal
            if not -len(self._indices) <= index < len(self._indices):
                raise DataError(f"There is no goal {index}: choose from 0 to {len(self._indices) - 1}.")
            self.user_sessions[name] = {"index": self._indices[index], "goal": self.goals[index], "done": False}
        index = self.user_sessions[name]["index"]
        instruction = self.assigned_instruction_text or ""
        return self.shop.open(index, mode=mode, name=name, instruction=instruction)

    def _draw(self) -> int:
        """Draw a goal. The original's draw is one goal off: the first is never drawn, the last too often."""
        sums = self.cum_weights
        return min(bisect.bisect(sums, random.uniform(0, sums[-1])), len(sums) - 2)


class _Goals(Sequence[Mapping[str, Any]]):
    """The goals at some indices, made on access."""

    def __init__(self, server: SimServer, indices: Sequence[int]) -> None:
        self._server, self._indices = server, indices

    def __len__(self) -> int:
        return len(self._indices)

    @overload
    def __getitem__(self, place: int) -> Mapping[str, Any]: ...
    @overload
    def __getitem__(self, place: slice) -> Sequence[Mapping[str, Any]]: ...
    def __getitem__(self, place: int | slice) -> Mapping[str, Any] | Sequence[Mapping[str, Any]]:
        if isinstance(place, slice):
            return _Goals(self._server, self._indices[place])
        index = self._indices[place]
        return {**self._server.shop.goals.goal(index).as_original(), "weight": self._server.weight(index)}


class WebAgentTextEnv:
    """WebShop's text environment, in the style of the old gym.

    Attributes:
        session: Name of the session.
        instruction_text: The instruction, with the original's "Instruction: " in front.
        server: What the environment may share with others.

    Args:
        observation_mode: ``html``, ``text``, ``text_rich`` or ``url``.
        file_path: The authors' product file, of which only the name matters: ``items_shuffle_1000.json`` (the default)
            and ``items_shuffle.json`` mean the installed catalogues. Or ``builtin``, or the folder of a catalogue.
        server: The server of another environment, to share it; then ``file_path``, ``num_products`` and what is about
            goals has no effect.
        num_products: As the original's: None or 1000, or the number of products of the catalogue.
        human_goals: Whether the goals are those that people wrote.
        filter_goals: As for ``SimServer``.
        limit_goals: As for ``SimServer``.
        price_seed: Seed of prices and price limits, which the original draws without one.
        session: Not used, as in the original; give it to ``reset``.
        session_prefix: Put in front of the names of sessions.
        num_prev_obs: How many earlier observations ``step`` puts in front of an observation.
        num_prev_actions: How many earlier actions it puts there.
        others: ``get_image`` and ``show_attrs`` of the original, which have to be false.

    Raises:
        ConfigError: An argument is unknown or not supported.
        DataError: The catalogue is not installed.
    """

    def __init__(
        self, observation_mode: str = "html", file_path: str | Path | None = None, server: SimServer | None = None, *,
        num_products: int | None = None, human_goals: bool | int | None = False,
        filter_goals: GoalFilter | None = None, limit_goals: int = -1, price_seed: int = DEFAULT_PRICE_SEED,
        session: object = None, session_prefix: str | None = None, num_prev_obs: int = 0, num_prev_actions: int = 0,
        **others: object,
    ) -> None:  # fmt: skip
        if observation_mode not in OBSERVATION_MODES:
            raise ConfigError(f"observation_mode={observation_mode!r} is none of {', '.join(OBSERVATION_MODES)}.")
        if wanted := [f"{name}={value!r}" for name, value in others.items() if value or name not in _IGNORED]:
            raise ConfigError(f"WebAgentTextEnv has no {wanted[0]} here: leave it out.")
        self.observation_mode = observation_mode
        self.server = server or SimServer(
            _open(file_path, num_products),
            human_goals=bool(human_goals),
            filter_goals=filter_goals,
            limit_goals=limit_goals,
            price_seed=price_seed,
        )
        self.session = session
        self.session_prefix = session_prefix
        self.num_prev_obs, self.num_prev_actions = num_prev_obs, num_prev_actions
        self.reset()

    @property
    def unwrapped(self) -> "WebAgentTextEnv":
        """This environment, as for every environment of gym."""
        return self

    def reset(self, session: str | int | None = None, instruction_text: str | None = None) -> tuple[str, None]:
        """Start a session and return its first observation, and None.

        Args:
            session: Index of a goal, or any name; a new name gets a goal drawn at random, as does None.
            instruction_text: Becomes ``instruction_text``; it changes no page.

        Raises:
            DataError: There is no such goal.
        """
        name = "".join(random.choices(string.ascii_lowercase, k=_NAME_LENGTH)) if session is None else str(session)
        self.session = f"{self.session_prefix or ''}{name}"
        mode = ObservationMode.TEXT_RICH if self.observation_mode == "text_rich" else ObservationMode.TEXT
        self._session = self.server.open(self.session, session if isinstance(session, int) else None, mode)
        self.instruction_text = self.get_instruction_text() if instruction_text is None else instruction_text
        observation = self.observation
        self.prev_obs: list[str] = [observation]
        self.prev_actions: list[str] = []
        return observation, None

    def step(self, action: str) -> tuple[str, float, bool, None]:
        """Take ``action``; return the observation, the reward, whether a product was bought, and None.

        An impossible action changes nothing.
        """
        if self._session.done:
            self._session.reopen()
        reward, done = self._session.step(action), self._session.done
        self._record()
        observation = self.observation
        self.prev_actions.append(action)
        shown = [observation]
        for back in range(1, 1 + max(self.num_prev_obs, self.num_prev_actions)):
            if back <= min(self.num_prev_actions, len(self.prev_actions)):
                shown.append(self.prev_actions[-back])
            if back <= min(self.num_prev_obs, len(self.prev_obs)):
                shown.append(self.prev_obs[-back])
        self.prev_obs.append(observation)
        return " [SEP] ".join(reversed(shown)), reward, done, None

    def get_available_actions(self) -> dict[str, Any]:
        """Return whether there is a search bar (``has_search_bar``), and what can be clicked (``clickables``)."""
        has_search_bar, clickables = self._session.available
        return {"has_search_bar": has_search_bar, "clickables": list(clickables)}

    def get_instruction_text(self) -> str:
        """Return the instruction as the page shows it."""
        blank = " " if self._session.page_kind is PageKind.SEARCH else ""
        return f"Instruction:{blank}{self._session.goal.instruction}"

    @property
    def observation(self) -> str:
        """The page, in the observation mode."""
        if self.observation_mode in ("html", "url"):
            return str(self.state[self.observation_mode])
        return self._session.text

    @property
    def state(self) -> dict[str, str]:
        """The page as ``html``, its ``url``, and the ``instruction_text``."""
        return {
            "url": self._session.address,
            "html": as_html(self._session.page),
            "instruction_text": self.instruction_text,
        }

    def render(self, mode: str = "human") -> None:
        """Do nothing, as the original."""

    def close(self) -> None:
        """Do nothing, as the original."""

    def _record(self) -> None:
        """Write what the original's server knows about the session to ``server.user_sessions``."""
        session = self._session
        known = self.server.user_sessions[str(self.session)]
        known["asin"] = session.product.asin if session.product else None
        known["options"] = dict(session.selected)
        if session.reward:
            known |= {"done": True, "reward": session.reward.total, "verbose_info": session.reward.as_original()}


def _open(file_path: str | Path | None, num_products: int | None) -> Catalogue:
    """Open the catalogue that the original's arguments mean."""
    path = Path(file_path or SIZES[_SMALL][0])
    name = path.name.removesuffix(".gz")
    size = _SMALL if num_products == int(_SMALL) and name in _SIZES_BY_FILE else _SIZES_BY_FILE.get(name)
    if size is None:
        catalogue = open_catalogue(str(file_path), builtin_seed=0)
    else:
        folder = installed_folder(size)
        if not (folder / DESCRIPTION_FILE).is_file():
            raise DataError(
                f"The catalogue of {name} is not installed in {folder}: run leap data install webshop --size {size}, "
                f"with --from and the folder of the authors' files if you have them; or use file_path={BUILTIN!r}."
            )
        catalogue = Catalogue(folder)
    if num_products not in (None, int(_SMALL), len(catalogue)):
        raise ConfigError(
            f"num_products={num_products}, but the catalogue has {len(catalogue)} products: leave num_products out, or "
            "build a catalogue of so many (leap data install webshop --from FOLDER) and give its folder as file_path."
        )
    return catalogue
