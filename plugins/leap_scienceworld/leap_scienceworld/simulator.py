"""One simulator: a JVM that runs the package's own simulator, with one world in it at a time.

The package's Python class starts its JVM without options and waits for it without end. Here the same Java class is
called, with a time limit, and with identity hash codes that do not vary: the simulator iterates over hashed sets, so
that without it two JVMs, or two episodes in one, can answer the same actions differently.
"""

import contextlib
import json
import logging
import os
import shutil
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from subprocess import DEVNULL, PIPE, Popen
from tempfile import TemporaryDirectory
from typing import Any, TypeVar

from py4j.java_gateway import GatewayClient, GatewayParameters, JavaGateway, find_jar_path
from py4j.protocol import Py4JError, Py4JJavaError
from scienceworld.constants import JAR_PATH

from leap_exp.core.errors import EnvError

T = TypeVar("T")

UNKNOWN_ACTION = "No known action matches that input."
"""The answer to an action that changes nothing."""
FAILED = -100
"""The score after a fatal mistake."""

JAVA_OPTIONS = (
    # One thread and the fast compiler: many of these run side by side, mostly for a short time.
    "-XX:+UseSerialGC",
    "-XX:TieredStopAtLevel=1",
    "-Xmx384m",
    "-XX:+UnlockExperimentalVMOptions",
    # All identity hash codes are equal, so that hashed sets keep the order of insertion.
    "-XX:hashCode=2",
)
_START = "look around"
_GOLD_PATIENCE = 10
"""A gold path is played by the simulator in one call; for plants that takes minutes."""

# py4j logs each lost connection with a traceback; the pool reports it in one line.
logging.getLogger("py4j").setLevel(logging.CRITICAL)


class SimulatorError(EnvError):
    """A simulator that ended or did not answer in time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """What determines a game: the name of a task, a variation, and simplifications separated by commas."""

    task: str
    variation: int
    simplifications: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """What the simulator shows after an action.

    Attributes:
        text: Its answer.
        score: The score so far, from 0 to 100, or ``FAILED``.
        done: Whether the task is solved or failed.
        actions: The valid actions, sorted.
    """

    text: str
    score: int
    done: bool
    actions: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Listed:
    """A valid action as the simulator describes it: its text, template and objects."""

    text: str
    template: int
    objects: tuple[int, ...]


def java() -> str:
    """Return the path of the ``java`` command.

    Raises:
        EnvError: There is none.
    """
    home = os.environ.get("JAVA_HOME")
    found = shutil.which("java", path=str(Path(home, "bin")) if home else None)
    if found is None:
        raise EnvError(
            f"ScienceWorld needs Java 8 or later, but there is no command 'java' in {home or 'PATH'}. Install it, such "
            "as with 'apt install default-jre-headless' or 'conda install openjdk', or set JAVA_HOME."
        )
    return found


class Simulator:
    """A JVM with one world in it.

    Args:
        seconds: Time for one answer; after that the JVM is killed.

    Raises:
        EnvError: Java is missing or cannot run the simulator.
    """

    def __init__(self, *, seconds: float) -> None:
        self._seconds = seconds
        classpath = os.pathsep.join((find_jar_path(), JAR_PATH))
        command = [java(), *JAVA_OPTIONS, "-classpath", classpath, "py4j.GatewayServer", "--die-on-broken-pipe", "0"]
        # The simulator writes a table of its objects to the current folder.
        self._folder = TemporaryDirectory(prefix="leap_scienceworld_")
        # It ends when its standard input is closed, so it does not outlive this process.
        self._process = Popen(command, stdin=PIPE, stdout=PIPE, stderr=DEVNULL, cwd=self._folder.name)
        self._gateway = self._connect()
        self._server = self._call(lambda: self._gateway.jvm.scienceworld.runtime.pythonapi.PythonInterface())
        self._listed: Sequence[_Listed] = ()
        self.world: World | None = None
        self.actions: tuple[str, ...] = ()
        self.frame = Frame(text="", score=0, done=True, actions=())

    @property
    def pid(self) -> int:
        """The process id of the JVM."""
        return self._process.pid

    def kill(self) -> None:
        """Kill the JVM, as an accident would."""
        self._process.kill()

    def close(self) -> None:
        """End the JVM, whatever it does."""
        self._gateway.client.is_connected = False
        self.kill()
        self._process.wait()
        self._folder.cleanup()

    def restore(self, world: World, actions: tuple[str, ...]) -> Frame:
        """Bring the simulator to where it was after ``actions`` in ``world``, and return what it showed then.

        Raises:
            SimulatorError: It ended or did not answer in time.
        """
        if self.world != world or self.actions != actions[: len(self.actions)]:
            self._load(world)
        for action in actions[len(self.actions) :]:
            self.step(action)
        return self.frame

    def step(self, action: str) -> Frame:
        """Take ``action`` and return what the simulator shows then.

        Raises:
            SimulatorError: It ended or did not answer in time.
        """
        before = self.frame.actions
        self.frame = self._call(lambda: self._frame(self._server.step(action)))
        if self.frame.text == UNKNOWN_ACTION:
            # Nothing has changed, but the simulator draws the names of things that look alike anew.
            self.frame = Frame(text=self.frame.text, score=self.frame.score, done=self.frame.done, actions=before)
        self.actions += (action,)
        return self.frame

    def listed_form(self, action: str) -> str:
        """Return the valid action that the simulator takes ``action`` for; empty if there is none or it cannot tell."""
        return self._call(lambda: self._listed_form(action))

    def room(self) -> str:
        """Return the name of the room that the agent is in."""
        return self._call(lambda: str(self._server.agentInterface().get().agent().getContainer().get().name()))

    def gold_path(self, world: World) -> Sequence[str]:
        """Load ``world`` and return the actions of the simulator's own solution; empty if it has none."""
        self.world = None

        def gold() -> Sequence[str]:
            # Routes through all rooms are remembered from one world to the next, and are drawn at random.
            self._gateway.jvm.scienceworld.goldagent.PathFinder.precomputedExhaustivePaths().clear()
            self._server.load(world.task, world.variation, world.simplifications, True)
            return [str(action) for action in self._server.getGoldActionSequence()]

        return self._call(gold, patience=_GOLD_PATIENCE)

    def variations(self, task: str) -> Mapping[str, Sequence[int]]:
        """Return the variations of ``task`` in each split."""

        def splits() -> Mapping[str, Sequence[int]]:
            self.world = None
            getattr(self._server, "taskStr_$eq")(task)
            server = self._server
            return {
                "train": list(server.getVariationsTrain()),
                "dev": list(server.getVariationsDev()),
                "test": list(server.getVariationsTest()),
            }

        return self._call(splits)

    def descriptions(self, task: str, variations: Sequence[int]) -> Iterator[str]:
        """Yield the description of each of the ``variations`` of ``task``, without loading them."""
        made = self._call(lambda: self._server.taskMaker().getTask(task).get())
        for variation in variations:
            yield self._call(lambda: str(made.setupGoals(variation).description()).strip())  # noqa: B023 - called at once

    def task_names(self) -> Sequence[str]:
        """Return the names of all tasks."""
        return self._call(lambda: [str(name) for name in self._server.getTaskNames()])

    def possible_simplifications(self) -> Sequence[str]:
        """Return the names of all simplifications."""
        return self._call(lambda: str(self._server.getPossibleSimplifications()).split(", "))

    def _load(self, world: World) -> None:
        def load() -> Frame:
            error = self._server.load(world.task, world.variation, world.simplifications, False)
            if error:
                raise EnvError(f"The simulator cannot load {world}: {error}")
            return self._frame(self._server.step(_START))

        self.world = None
        self.frame = self._call(load)
        self.world, self.actions = world, ()

    def _frame(self, text: str) -> Frame:
        # The listing draws random numbers that the world goes on with, so it is asked for exactly once a step, as in
        # the package's own class.
        listing = json.loads(self._server.getValidActionObjectCombinationsJSON(), strict=False)["validActions"]
        self._listed = [_Listed(each["action"], each["template_id"], tuple(each["obj_ids"])) for each in listing]
        score = round(100 * self._server.getScore())
        return Frame(
            text=text,
            score=score,
            done=bool(self._server.getCompleted()) or score < 0,
            actions=tuple(sorted({each.text for each in self._listed})),
        )

    def _listed_form(self, action: str) -> str:
        if action in self.frame.actions:
            return action
        written = self._parsed(action)
        if written is None:
            return ""
        template, objects = written
        same = [
            each for each in self._listed if each.template == template and set(each.objects) <= set(objects.values())
        ]
        same = [each for each in same if self._parsed(each.text) == written]
        return min((each.text for each in same), default="")

    def _parsed(self, action: str) -> tuple[int, Mapping[str, int]] | None:
        """Return the template and the objects that the simulator reads in ``action``; None if it reads none or many."""
        interface = self._server.agentInterface().get()
        parser, agent = interface.inputParser(), interface.agent()
        if parser.isInAmbiguousState():
            return None
        read = parser.parse(
            action,
            interface.getAgentVisibleObjects(False)._2(),
            interface.universe(),
            agent,
            interface.objMonitor(),
            interface.task().goalSequence(),
            agent.getContainer().get(),
        )
        parser.clearAmbiguousState()
        if read._4().isEmpty():
            return None
        found = read._4().get()
        objects, items = {}, found.assignments().iterator()
        while items.hasNext():
            item = items.next()
            objects[str(item._1())] = int(item._2().uuid())
        return int(found.action().uniqueActionID()), objects

    def _connect(self) -> "_Gateway":
        with self._watched():
            line = self._process.stdout.readline() if self._process.stdout else b""
        if not line.strip().isdigit():
            self._process.kill()
            raise EnvError(
                f"{java()} could not start the simulator within {self._seconds:g} s: try 'java -version'. It must be "
                "an OpenJDK (HotSpot) of version 8 or later."
            )
        # The simulator writes a lot; somebody has to read it.
        threading.Thread(target=_drain, args=(self._process.stdout,), daemon=True).start()
        return _Gateway(gateway_parameters=GatewayParameters(port=int(line)))

    @contextlib.contextmanager
    def _watched(self, patience: int = 1) -> Iterator[None]:
        """Kill the JVM if what is done here takes longer than ``patience`` answers may."""
        watchdog = threading.Timer(patience * self._seconds, self._process.kill)
        watchdog.daemon = True
        watchdog.start()
        try:
            yield
        finally:
            watchdog.cancel()

    def _call(self, work: Callable[[], T], *, patience: int = 1) -> T:
        """Do ``work``, which calls the JVM; see ``_watched``."""
        try:
            with self._watched(patience):
                return work()
        except Py4JJavaError as error:
            world, self.world = self.world, None
            raise EnvError(f"The simulator failed in {world} after {self.actions}: {error}") from error
        except (Py4JError, OSError) as error:
            self.world = None
            raise SimulatorError(f"A simulator ended, or did not answer within {self._seconds:g} s.") from error


class _Client(GatewayClient):  # type: ignore[misc]
    """py4j's client, which asks once: an action that is sent again could be taken twice."""

    def send_command(self, command: str, retry: bool = True, binary: bool = False) -> Any:
        """Send ``command`` and return the answer."""
        connection = self._get_connection()
        try:
            answer = connection.send_command(command)
        except Exception:
            connection.close(True)
            raise
        self._give_back_connection(connection)
        return answer


class _Gateway(JavaGateway):  # type: ignore[misc]
    """py4j's gateway with that client."""

    client: _Client

    def _create_gateway_client(self) -> _Client:
        self.client = _Client(gateway_parameters=self.gateway_parameters)
        return self.client


def _drain(stream: Any) -> None:
    with contextlib.suppress(ValueError, OSError):
        while stream.read1(1 << 16):
            pass
