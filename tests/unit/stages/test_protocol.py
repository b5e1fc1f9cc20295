"""Protocols: what a policy sees, how long it may act, how it answers, and how things are put down."""

from dataclasses import replace

import pytest

from leap_exp.config.build import build, under_protocol
from leap_exp.config.panels import composed
from leap_exp.config.plan import plan_stages
from leap_exp.core.errors import ConfigError
from leap_exp.core.privilege import Disclosure
from leap_exp.core.types import Decision, Observation, Step, Task, View, views
from leap_exp.envs.alfworld.config import AlfworldConfig
from leap_exp.envs.thoughts import EnvironmentWithThoughts
from leap_exp.stages.evaluate import draw_panel, evaluate
from leap_exp.stages.protocol import PROTOCOLS, Windowed
from leap_exp.stages.rollout import rollout
from leap_exp.students.scripted import ExpertPolicy
from leap_exp.tokens.markup import MESSAGES_MARKUP
from leap_exp.tokens.parser import read_tagged
from leap_exp.tokens.renderer import PromptConfig, Renderer
from tests.support.toy import DOORS, ToyEnvironment, ToyStudent


def nothing(done, total):
    pass


class Watching(ToyStudent):
    """Keeps the views that it decided on."""

    def __init__(self):
        super().__init__({})
        self.views = []

    def act(self, batch, *, seed):
        self.views += batch
        return super().act(batch, seed=seed)


def test_a_window_hides_earlier_steps_but_not_that_they_were():
    environment, student = ToyEnvironment(), Watching()
    panel = draw_panel(environment.tasks("test"), split="test", size=1, seed=0)
    evaluate(student, environment, panel, max_steps=5, batch=1, on_progress=nothing, window=2)
    assert [(len(view.history), view.left_out) for view in student.views] == [(0, 0), (1, 0), (2, 0), (2, 1), (2, 2)]
    assert [view.scope[1] for view in student.views] == [0, 1, 2, 3, 4]


def test_a_windowed_policy_is_the_policy_in_everything_else():
    student = ToyStudent({}, policy_id="mine")
    windowed = Windowed(student, 2)
    assert (windowed.id, windowed.concurrency, windowed.greedy.id) == ("mine", 0, "mine")


def test_a_prompt_with_a_window_begins_with_the_task():
    task = ToyEnvironment().tasks("test")[0]
    steps = tuple(
        Step(
            observation=Observation(text=f"seen {i}", admissible_actions=DOORS),
            decision=Decision(reason="", action=DOORS[0]),
            reward=0,
        )
        for i in range(4)
    )
    view = View(task=task, history=steps, observation=Observation(text="now", admissible_actions=DOORS)).latest(2)
    renderer = Renderer(ToyEnvironment.prompts, MESSAGES_MARKUP, PromptConfig(reasons=False, list_actions=False))
    messages = renderer.messages(view, first_kept=1)
    assert [each["content"] for each in messages] == [
        "Open the right door.",
        "Your task is to: Find prize 0.\n[2 earlier steps]\nseen 2",
        DOORS[0],
        "seen 3",
        DOORS[0],
        "now",
    ]
    assert "".join(renderer.segments(view, first_kept=1)).count("Find prize 0.") == 1


@pytest.mark.parametrize(
    ("text", "reason", "action"),
    [
        ("<think>\nLook there.\n</think>\n<action>go to desk 1</action>", "Look there.", "go to desk 1"),
        ("<action> go to desk 1 </action> and <action>look</action>", "", "go to desk 1"),
        ("go to desk 1", "", "(no action) 'go to desk 1'"),
        ("<think>hm</think><action></action>", "", "(no action) '<think>hm</think><action></action>'"),
    ],
)
def test_answers_in_tags(text, reason, action):
    assert read_tagged(text) == Decision(reason=reason, action=action)


def test_an_answer_in_tags_that_was_cut_off_is_no_action():
    assert read_tagged("<think>hm</think><action>go to", cut_off=True).is_cut_off


def test_answers_in_tags_are_read_back():
    renderer = Renderer(ToyEnvironment.prompts, MESSAGES_MARKUP, PromptConfig(answer="tags"))
    decision = Decision(reason="It is red.", action='ls -l "a b" | grep "<x>"')
    assert renderer.read("".join(renderer.response(decision)), cut_off=False) == decision


def test_a_protocol_changes_prompts_of_students_that_write_and_the_wording():
    config = composed(["student=local", "rounds=0", "evaluation.protocol=sdar"])
    found = under_protocol(config)
    assert (found.student.answer, found.student.reasons, found.student.list_actions) == ("tags", True, True)
    assert found.env.wording == "move"
    react = under_protocol(composed(["student=local", "rounds=0", "evaluation.protocol=react"]))
    assert (react.student.answer, react.student.reasons, react.student.list_actions) == ("think_or_act", False, False)
    assert react.env.wording == "put"
    restricted = under_protocol(composed(["student=tiny", "evaluation.protocol=sdar"]))
    assert (restricted.student.answer, restricted.student.reasons) == ("lines", False)


def test_every_environment_prompt_asks_for_the_form_of_answer():
    joint = composed(["env=joint", "env.intercode_bash.sandbox=bubblewrap"]).env.build()
    assert joint.prompts.members.keys() == {"alfworld", "webshop", "intercode_bash"}
    for name in joint.prompts.members:
        task = Task(id=name, split="test", instruction="Do it.", kind="any", environment=name)
        tags = Renderer(joint.prompts, MESSAGES_MARKUP, PromptConfig(answer="tags")).instructions(task)
        assert "<action>" in tags
        assert "REASON:" not in tags
        config = PromptConfig(answer="think_or_act", reasons=False)
        assert "think:" in Renderer(joint.prompts, MESSAGES_MARKUP, config).instructions(task)


def test_a_protocol_without_values_for_an_environment_is_refused():
    config = composed(
        ["env=intercode_bash", "env.sandbox=bubblewrap", "student=random", "rounds=0", "evaluation.protocol=sdar"]
    )
    with pytest.raises(ConfigError, match=r"sdar has no values for intercode_bash.*protocols with it: leap"):
        build(config)
    with pytest.raises(ConfigError, match=r"evaluation\.protocol=mine is not valid"):
        composed(["evaluation.protocol=mine"])
    with pytest.raises(ConfigError, match=r"student\.answer=tags is a form of free text"):
        composed(["student=tiny", "student.answer=tags"])


JOINT = ("env=joint", "student=random", "rounds=0", "evaluation.tasks=1")


def test_a_protocol_holds_for_each_joined_environment():
    config = composed([*JOINT, "env.members=[alfworld,webshop]", "evaluation.protocol=react"])
    experiment = build(config)
    assert PROTOCOLS["react"].step_limit(experiment.environment) == {"alfworld": 49, "webshop": 14}
    assert experiment.config.env.alfworld.wording == "put"
    (stage,) = plan_stages(config, None)
    assert stage.work == "2 episodes of up to 32 steps"


def test_a_protocol_without_values_for_a_joined_environment_is_refused():
    config = composed([*JOINT, "env.members=[alfworld,intercode_bash]", "evaluation.protocol=sdar"])
    with pytest.raises(ConfigError, match="sdar has no values for intercode_bash"):
        build(config)


def test_joined_environments_take_thoughts_and_stay_joined():
    joint = composed(["env=joint", "env.members=[alfworld,webshop]"]).env.build()
    environment = EnvironmentWithThoughts(joint)
    task = environment.tasks("test")[1]
    assert task.environment == "webshop"
    assert environment.max_repeats_of(task) == 1
    assert environment.shares("train") == {"alfworld": 0.5, "webshop": 0.5}
    assert environment.contents(task) == joint.contents(task) != {}
    with environment.open(task, seed=0) as episode:
        assert episode.step("think: which shop?").observation.text == "OK."


def test_thoughts_take_a_step_and_change_nothing():
    environment = EnvironmentWithThoughts(ToyEnvironment())
    task = environment.tasks("test")[0]
    with environment.open(task, seed=0) as episode:
        before = episode.observation
        assert before.admits("think: the door must be red")
        answer = episode.step("think: the door must be red")
        assert (answer.observation.text, answer.reward, answer.done) == ("OK.", 0.0, False)
        assert answer.observation.admissible_actions == before.admissible_actions
        assert episode.step(DOORS[0]).observation.text == f"Nothing happens after {DOORS[0]}."


def test_thoughts_leave_the_same_worlds_possible():
    plain = AlfworldConfig().build()
    environment = EnvironmentWithThoughts(plain)
    task = plain.tasks("valid_unseen")[0]
    (trajectory,) = rollout(plain, ExpertPolicy(plain), [task], seed=0, max_steps=4, batch=1, on_progress=nothing)
    actions = [step.action for step in trajectory.steps[:3]]
    wanted = plain.consistent_worlds(views(trajectory)[3], limit=8, seed=0)
    steps = []
    with environment.open(task, seed=0) as episode:
        for action in (actions[0], "think: hm", "think: oh", *actions[1:], "think: so"):
            decision = Decision(reason="", action=action)
            steps.append(Step(observation=episode.observation, decision=decision, reward=0.0))
            episode.step(action)
        view = View(task=task, history=tuple(steps), observation=episode.observation)
    found = environment.consistent_worlds(view, limit=8, seed=0)
    assert found.probabilities == wanted.probabilities
    decisions = [
        [oracle.decide(views(trajectory)[3], Disclosure.P50, seed=0) for oracle in worlds.oracles]
        for worlds in (found, wanted)
    ]
    assert decisions[0] == decisions[1]


@pytest.mark.parametrize("wording", ["put", "move"])
def test_the_expert_plays_in_both_wordings(wording):
    environment = AlfworldConfig(wording=wording).build()
    tasks = environment.tasks("valid_unseen")[:12]
    found = rollout(environment, ExpertPolicy(environment), tasks, seed=0, max_steps=50, batch=6, on_progress=nothing)
    assert all(each.succeeded for each in found)
    actions = [step.action for each in found for step in each.steps]
    texts = [step.observation.text for each in found for step in each.steps]
    put, moved = [each for each in actions if " in/on " in each], [each for each in actions if each.startswith("move ")]
    assert (bool(put), bool(moved)) == (wording == "put", wording == "move")
    assert any(text.startswith("You put the ") for text in texts) or wording == "move"
    assert environment.contents(tasks[0]) == AlfworldConfig().build().contents(tasks[0])


def test_the_games_with_put_are_played_by_the_reference_in_the_same_way():
    pytest.importorskip("textworld", reason="the original comes with the extra alfworld")
    worlds = [AlfworldConfig(wording="put", engine=engine).build() for engine in ("fast", "textworld")]
    task = worlds[0].tasks("valid_unseen")[0]
    (trajectory,) = rollout(
        worlds[0], ExpertPolicy(worlds[0]), [task], seed=0, max_steps=50, batch=1, on_progress=nothing
    )
    with worlds[1].open(task, seed=0) as episode:
        for step in trajectory.steps:
            assert episode.observation == step.observation
            episode.step(step.action)
        assert episode.score() == 1.0


def test_every_protocol_names_its_source():
    for name, protocol in PROTOCOLS.items():
        assert (protocol.name, "arXiv:" in protocol.source, "github.com/" in protocol.source) == (name, True, True)
    assert replace(PROTOCOLS["sdar"], window=None).steps("webshop") == 15
