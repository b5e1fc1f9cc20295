"""Comparison of the drop-in ``WebAgentTextEnv`` with recorded episodes of the original."""

from collections.abc import Iterator, Mapping, Sequence
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

from leap_exp.envs.webshop.engine.catalogue import Catalogue
from leap_exp.envs.webshop.engine.pages import ObservationMode
from leap_exp.envs.webshop.engine.products import GoalKind
from leap_exp.envs.webshop.engine.replay import (
    Difference,
    OnEpisode,
    compare_fields,
    read_recording,
    recorded_kinds,
)
from leap_exp.interfaces.webshop_text import SimServer, WebAgentTextEnv


def replay_in_environment(golden: Path, catalogue: Catalogue, on_episode: OnEpisode) -> Iterator[Difference]:
    """Yield the differences between the recordings in ``golden`` and the drop-in: in goals, weights, pages and rewards.

    Where pages were recorded as plain text, the text of the HTML pages is compared, too.

    Args:
        golden: A folder of files ``KIND_goals.json.gz`` and ``KIND_MODE.json.gz``.
        catalogue: The catalogue of the recorded products, with the tagger of the recordings.
        on_episode: Called after each episode.

    Raises:
        DataError: There are no recordings, or one cannot be read.
    """
    for kind in recorded_kinds(golden):
        recorded = read_recording(golden / f"{kind}_goals.json.gz")
        seed = recorded["global_seed_before_construction"]
        server = SimServer(catalogue, human_goals=kind is GoalKind.HUMAN, price_seed=seed)
        for index, goal in enumerate(recorded["goals"]):
            yield from compare_fields(f"{kind} goals {index}", goal, server.goals[index])
        for mode in ObservationMode:
            path = golden / f"{kind}_{mode}.json.gz"
            for number, episode in enumerate(read_recording(path) if path.is_file() else ()):
                environment = WebAgentTextEnv(mode, server=server)
                yield from _compare_episode(episode, environment, f"{kind}_{mode} {number}")
                on_episode(len(episode["steps"]))


def _compare_episode(episode: Mapping[str, Any], environment: WebAgentTextEnv, where: str) -> Iterator[Difference]:
    observation, _ = environment.reset(episode["goal_index"])
    start = {
        "instruction": episode["instruction"],
        "observation": episode["initial_observation"],
        "available": episode["initial_available"],
    }
    found: dict[str, object] = {"instruction": environment.instruction_text, "observation": observation}
    yield from compare_fields(where, start, found | {"available": environment.get_available_actions()})
    for number, step in enumerate(episode["steps"], start=1):
        here = f"{where}, step {number}, {step['action']!r}"
        observation, reward, done, _ = environment.step(step["action"])
        found = {
            "observation": observation,
            "available": environment.get_available_actions(),
            "reward": reward,
            "done": done,
            **(_purchase(environment) if done else {}),
        }
        yield from compare_fields(here, {name: value for name, value in step.items() if name != "action"}, found)
        if environment.observation_mode == ObservationMode.TEXT:
            page = _HtmlPage(environment.state["html"])
            shown = {"html text": page.text, "html available": page.available}
            expected = {"html text": step["observation"], "html available": step["available"]}
            yield from compare_fields(here, expected, shown)


def _purchase(environment: WebAgentTextEnv) -> Mapping[str, Any]:
    known = environment.server.user_sessions[str(environment.session)]
    return {"reward_info": known["verbose_info"], "asin": known["asin"], "options": known["options"]}


class _HtmlPage(HTMLParser):
    """Reads a page as agents read the original's pages."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self._texts: list[str] = []
        self._clickable = False
        self._clickables: list[str] = []
        self._options: list[str] = []
        self._has_search_bar = False
        self.feed(html)
        self.close()

    @property
    def text(self) -> str:
        """The visible texts, as in the observation mode ``text``."""
        return " [SEP] ".join(text.strip() for text in self._texts)

    @property
    def available(self) -> Mapping[str, object]:
        """What ``get_available_actions`` returns for this page."""
        clickables: Sequence[str] = list(dict.fromkeys([*self._clickables, *self._options]))
        return {"has_search_bar": self._has_search_bar, "clickables": clickables}

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:  # noqa: ARG002 - HTMLParser's
        """Note search bars and options, and whether the next text can be clicked."""
        attributes = dict(attrs)
        self._clickable = attributes.get("class") in ("btn", "product-link")
        self._has_search_bar |= attributes.get("id") == "search_input"
        if attributes.get("type") == "radio":
            self._options.append(str(attributes.get("value")))

    def handle_data(self, data: str) -> None:
        """Note a text."""
        self._texts.append(data)
        if self._clickable:
            self._clickables.append(data.lower())
        self._clickable = False
