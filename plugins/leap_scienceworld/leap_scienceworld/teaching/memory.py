"""What an agent of ScienceWorld remembers of its history."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from leap_exp.core.types import View

_ROOM = re.compile(r"(?:is called the|You move to the|You teleport to the) ([a-z ]+?)\.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """The rooms at each step, and what was done and shown.

    Attributes:
        rooms: The room before each action, and the one now.
        actions: The actions so far, as the environment lists them.
        texts: The description of each room that was looked at, the latest one, by the room's name.
        shown: Everything that was shown, in lower case.
    """

    rooms: Sequence[str]
    actions: Sequence[str]
    texts: Mapping[str, str]
    shown: str

    @property
    def room(self) -> str:
        """The room that the agent is in."""
        return self.rooms[-1]


def recall(view: View) -> Memory:
    """Return what the history of ``view`` shows."""
    rooms: list[str] = []
    texts: dict[str, str] = {}
    observations = [*(step.observation for step in view.history), view.observation]
    for observation in observations:
        found = _ROOM.search(observation.text)
        rooms.append(found[1] if found else rooms[-1] if rooms else "")
        if "is called the" in observation.text:
            texts[rooms[-1]] = observation.text
    shown = "\n".join(text for each in observations for text in (each.text, *(each.admissible_actions or ())))
    return Memory(
        rooms=rooms,
        actions=[step.action for step in view.history],
        texts=texts,
        shown=f"{view.task.instruction}\n{shown}".lower(),
    )
