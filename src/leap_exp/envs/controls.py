"""Environments whose privileged facts are replaced by those of a control, to find out what true facts add.

A teacher that reads facts gets them from ``EnvironmentWithControl.privileged``. A scripted expert reads no text: it
knows its world. So it is made for a world in which such facts hold (``EnvironmentOfTeacher.oracle``). There it acts as
the disclosure allows for as long as the history agrees with that world, and then by the history alone.
"""

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import cycle, islice
from random import Random

from leap_exp.core.environments import Environment, Oracle
from leap_exp.core.errors import ConfigError, DataError, LeapError
from leap_exp.core.privilege import Control, Disclosure
from leap_exp.core.seeding import derive_seed
from leap_exp.core.types import Decision, PrivilegedFacts, Task, View
from leap_exp.envs.wrapped import WrappedEnvironment

_CACHED_BELIEFS = 4096
_WORLDS = 32
"""Most consistent worlds among which a wrong one is looked for."""
_OTHERS = 8
"""Most other tasks among which wrong facts, or what all facts have in common, are looked for."""
_DRAWN = 64
"""Tasks that are drawn in order to find some of the same kind."""
_FILLERS = ("this", "that", "thing", "other", "some", "such", "another", "same")
"""Words of a placebo. They are used in turn, so that the lengths of words tell nothing."""
_WORD = re.compile(r"\w+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Belief:
    """What a control lets a teacher believe of a task.

    Attributes:
        facts: ``control`` in their data names the control, and ``facts_of`` the task that they are taken from.
        oracle: The scripted expert of a world where such facts hold; None if there is none.
    """

    facts: PrivilegedFacts
    oracle: Oracle | None


class EnvironmentWithControl(WrappedEnvironment):
    """Another environment with the facts of a control. Its scripted expert and consistent worlds still know the truth.

    So demonstrations and measures are those of the environment. A teacher is built for ``of_teacher``.
    """

    def __init__(self, environment: Environment, control: Control, *, disclosure: Disclosure, seed: int) -> None:
        """Replace the facts of ``environment``.

        Args:
            environment: The environment.
            control: What takes the place of its facts.
            disclosure: Wrong facts are, where possible, some with which the scripted expert begins otherwise under it.
            seed: Seed of what is drawn.
        """
        super().__init__(environment)
        self.control = control
        self._disclosure = disclosure
        self._seed = seed
        self.belief = lru_cache(_CACHED_BELIEFS)(self._find_belief)
        self._form_words = lru_cache(self._find_form_words)

    @property
    def of_teacher(self) -> "EnvironmentOfTeacher":
        """The same environment with a scripted expert that believes the control's facts."""
        return EnvironmentOfTeacher(self)

    def privileged(self, task: Task) -> PrivilegedFacts:
        """Return the control's facts about ``task``.

        Raises:
            DataError: There are none: the split has no other task, or none whose facts differ.
        """
        return self.belief(task).facts

    def _find_belief(self, task: Task) -> Belief:
        find = {Control.SHUFFLED: self._shuffled, Control.WRONG: self._wrong, Control.PLACEBO: self._placebo}
        belief = find[self.control](task)
        data = {**belief.facts.data, "control": str(self.control)}
        return replace(belief, facts=replace(belief.facts, data=data))

    def _shuffled(self, task: Task) -> Belief:
        other, oracle = self._believable_others(task)[0]
        if oracle is None:
            oracle = next(self._worlds(task, self._start(task)), None)
        return Belief(facts=self._facts_of(other, task), oracle=oracle)

    def _wrong(self, task: Task) -> Belief:
        """Return, of some beliefs that are not true, the one that contradicts the truth most.

        That is one with which the scripted expert begins otherwise and, of these, one whose facts have the fewest
        lines in common with the true ones.
        """
        truth = self._environment.privileged(task).text
        lines, start, true = set(truth.splitlines()), self._start(task), self._true_oracle(task)
        first = self._first_action(true, start)

        def agreement(belief: Belief) -> tuple[bool, int]:
            same_start = self._first_action(belief.oracle, start) == first
            return same_start, len(lines.intersection(belief.facts.text.splitlines()))

        worlds = self._believed_worlds(task, start)
        false = [belief for belief in worlds if belief.facts.text != truth]
        if not false:
            # If all worlds with this beginning are alike, nothing false can be believed, but it can be told.
            unaided = BelievingOracle(true, None) if true and worlds else None
            told = [
                Belief(facts=self._facts_of(other, task), oracle=oracle or unaided)
                for other, oracle in self._believable_others(task)
            ]
            false = [belief for belief in told if belief.facts.text != truth]
        if not false:
            raise DataError(
                f"privilege.control={self.control}: nothing was found that contradicts the facts about {task.id}. Use "
                "another control."
            )
        return min(false, key=agreement)

    def _placebo(self, task: Task) -> Belief:
        facts = self._environment.privileged(task)
        hidden = facts.data.get("hidden_names", ())
        secret = _words(" ".join(map(str, hidden if isinstance(hidden, Sequence) else ())))
        text = _blank(facts.text, kept=self._form_words(task.split, task.environment) - secret)
        return Belief(facts=PrivilegedFacts(task_id=task.id, text=text), oracle=None)

    def _believed_worlds(self, task: Task, start: View) -> list[Belief]:
        """Return the worlds that begin like the task, itself among them, in an order that is drawn."""
        told = [(oracle.facts_about(task), oracle) for oracle in self._worlds(task, start)]
        return [Belief(facts=facts, oracle=oracle) for facts, oracle in told if facts is not None]

    def _believable_others(self, task: Task) -> list[tuple[Task, Oracle | None]]:
        """Return some other tasks, those of the same kind first, with the scripted expert that believes their facts.

        If there are tasks that it can believe, these alone.
        """
        others = self._others(task)
        pairs = ((other, self._environment.oracle_with_facts_of(task, other)) for other in others)
        believable = list(islice((pair for pair in pairs if pair[1] is not None), _OTHERS))
        return believable or [(other, None) for other in others[:_OTHERS]]

    def _worlds(self, task: Task, start: View) -> Iterator[Oracle]:
        """Yield the oracles of worlds that begin like the task, drawn one by one by their probability."""
        worlds = self._environment.consistent_worlds(
            start, limit=_WORLDS, seed=derive_seed(self._seed, "worlds", task.id)
        )
        if worlds is None:
            return
        rng = Random(derive_seed(self._seed, "world", task.id))
        # Drawing without replacement by weight w is sorting by u^(1/w), u uniform (Efraimidis and Spirakis 2006).
        keys = [rng.random() ** (1.0 / share) for share in worlds.probabilities]
        yield from (worlds.oracles[place] for place in sorted(range(len(keys)), key=keys.__getitem__, reverse=True))

    def _facts_of(self, other: Task, task: Task) -> PrivilegedFacts:
        """Return the facts about ``other`` as if they were about ``task``."""
        facts = self._environment.privileged(other)
        return replace(facts, task_id=task.id, data={**facts.data, "facts_of": other.id})

    def _others(self, task: Task) -> list[Task]:
        """Return other tasks of the split, those of the same kind first."""
        tasks = [
            each
            for each in self._drawn(task.split, "others", task.id)
            if each.id != task.id and each.environment == task.environment
        ]
        if not tasks:
            raise DataError(
                f"privilege.control={self.control} takes the facts of another task, but {task.id} is the only one in "
                f"the split {task.split!r}."
            )
        return sorted(tasks, key=lambda each: each.kind != task.kind)

    def _drawn(self, split: str, *use: str) -> list[Task]:
        tasks = self._environment.tasks(split)
        rng = Random(derive_seed(self._seed, *use))
        return [tasks[place] for place in rng.sample(range(len(tasks)), min(_DRAWN, len(tasks)))]

    def _find_form_words(self, split: str, environment: str) -> frozenset[str]:
        """Return the words that all facts have in common, of whatever task: their form."""
        tasks = [task for task in self._drawn(split, "form", environment) if task.environment == environment]
        texts = [_words(self._environment.privileged(task).text) for task in tasks[:_OTHERS]]
        # What a single task's facts say cannot be told from their form.
        return frozenset(set[str].intersection(*texts)) if len(texts) > 1 else frozenset()

    def _start(self, task: Task) -> View:
        with self._environment.open(task, seed=0) as episode:
            return View(task=task, history=(), observation=episode.observation)

    def _true_oracle(self, task: Task) -> Oracle | None:
        try:
            return self._environment.oracle(task)
        except LeapError:  # It declines some tasks, which are then only taught by teachers that read facts.
            return None

    def _first_action(self, oracle: Oracle | None, start: View) -> str | None:
        return oracle.decide(start, self._disclosure, seed=0).action if oracle else None


class EnvironmentOfTeacher(WrappedEnvironment):
    """An environment with a control whose scripted expert believes in the control's world."""

    def __init__(self, environment: EnvironmentWithControl) -> None:
        super().__init__(environment)
        self._controlled = environment

    def oracle(self, task: Task) -> Oracle:
        """Return the scripted expert for ``task`` that believes what the control tells.

        Raises:
            ConfigError: There is no world in which the control's facts hold.
        """
        control = self._controlled.control
        belief = self._controlled.belief(task)
        if belief.oracle is None and control is not Control.PLACEBO:
            raise ConfigError(
                f"privilege.control={control}: the scripted expert of {self.name} cannot believe other facts about "
                f"{task.id}. Choose a teacher that reads the facts, or other tasks (see docs/disclosure.md)."
            )
        return BelievingOracle(self._controlled.oracle(task), belief.oracle)


class BelievingOracle(Oracle):
    """A scripted expert that acts by ``belief`` as long as the history agrees with it, and then by the history alone.

    Without a belief it always acts by the history alone.
    """

    def __init__(self, true: Oracle, belief: Oracle | None) -> None:
        self._true = true
        self._belief = belief

    def decide(self, view: View, disclosure: Disclosure, *, seed: int, taken: str | None = None) -> Decision:
        """Return the best admissible action if the belief were true."""
        belief = self._believed(view, disclosure)
        if belief is not None:
            decision = belief.decide(view, disclosure, seed=seed, taken=taken)
            if view.observation.admits(decision.action):
                return decision
        return self._true.decide(view, Disclosure.NONE, seed=seed, taken=taken)

    def action_values(self, view: View, disclosure: Disclosure) -> Mapping[str, float]:
        """Return the values that the actions have if the belief is true."""
        belief = self._believed(view, disclosure)
        if belief is not None:
            return belief.action_values(view, disclosure)
        return self._true.action_values(view, Disclosure.NONE)

    def _believed(self, view: View, disclosure: Disclosure) -> Oracle | None:
        """Return the oracle of the believed world, if the rule lets it use its facts and the history agrees."""
        usable = disclosure is not Disclosure.NONE and self._belief is not None and self._belief.fits(view)
        return self._belief if usable else None


def _words(text: str) -> set[str]:
    """Return the words of ``text`` in lower case, without numbers."""
    return {word.lower() for word in _WORD.findall(text) if not any(map(str.isdigit, word))}


def _blank(text: str, *, kept: Collection[str]) -> str:
    """Return ``text`` with fillers for all words but those ``kept``, and zeros for numbers."""
    fillers = cycle(_FILLERS)

    def filler(match: re.Match[str]) -> str:
        word = match[0]
        if any(map(str.isdigit, word)):
            return "0"
        return word if word.lower() in kept else next(fillers)

    return _WORD.sub(filler, text)
