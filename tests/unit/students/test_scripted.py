"""Scripted policies: the expert knows its history alone, the random one draws evenly, both repeatably."""

from collections import Counter

from leap_exp.core.errors import EnvError
from leap_exp.core.privilege import Disclosure
from leap_exp.core.types import Decision, Observation, Step, Task, View
from leap_exp.students.scripted import ExpertPolicy, OraclePolicy, RandomPolicy

ACTIONS = ("left", "right", "wait")


class NamingOracle:
    def __init__(self, task):
        self.task = task

    def decide(self, view, disclosure, *, seed, taken=None):
        assert view.task is self.task
        return Decision(reason=f"{disclosure}", action=view.task.id)


class NamingEnvironment:
    def oracle(self, task):
        return NamingOracle(task)


def view(task_id="task", steps=0, actions=ACTIONS):
    observation = Observation(text="A fork.", admissible_actions=actions)
    step = Step(observation=observation, decision=Decision(reason="", action="wait"), reward=0.0)
    task = Task(id=task_id, split="train", instruction="Get out.", kind="fork")
    return View(task=task, history=(step,) * steps, observation=observation)


def test_the_expert_acts_without_privilege_each_task_by_its_own_oracle():
    policy = ExpertPolicy(NamingEnvironment())
    decisions = policy.act([view("a"), view("b")], seed=0)
    assert [(decision.action, decision.reason) for decision in decisions] == [("a", "none"), ("b", "none")]


def test_the_oracle_policy_acts_under_its_disclosure_and_is_named_for_it():
    policy = OraclePolicy(NamingEnvironment(), Disclosure.P100)
    assert policy.act([view()], seed=0)[0].reason == "p100"
    assert policy.id == "oracle-p100"
    assert ExpertPolicy(NamingEnvironment()).id == "expert"


def test_random_actions_are_even_and_differ_between_tasks_and_steps():
    drawn = [RandomPolicy().act([view(f"task{index}", steps=index % 4)], seed=0)[0].action for index in range(600)]
    assert set(drawn) == set(ACTIONS)
    assert all(150 < count < 250 for count in Counter(drawn).values())


def test_a_random_decision_does_not_depend_on_the_batch():
    together = RandomPolicy().act([view("a"), view("b"), view("a", steps=1)], seed=7)
    alone = [RandomPolicy().act([one], seed=7)[0] for one in (view("a"), view("b"), view("a", steps=1))]
    assert together == alone


def test_where_nothing_is_admissible_the_random_policy_says_so():
    failure, decision = RandomPolicy().act([view("closed", actions=()), view("open")], seed=0)
    assert "closed lists no admissible action" in failure.error
    assert decision.action in ACTIONS


def test_a_task_that_the_oracle_cannot_do_costs_that_decision_alone():
    class Picky(NamingEnvironment):
        def oracle(self, task):
            if task.id == "odd":
                raise EnvError("cannot read it")
            return super().oracle(task)

    failure, decision = ExpertPolicy(Picky()).act([view("odd"), view("plain")], seed=0)
    assert failure.error == "expert: EnvError: cannot read it"
    assert decision == ExpertPolicy(NamingEnvironment()).act([view("plain")], seed=0)[0]


def test_where_no_action_is_listed_the_random_policy_says_words_of_the_task():
    drawn = {RandomPolicy().act([view(actions=None)], seed=seed)[0].action for seed in range(40)}
    assert drawn == {"Get", "out.", "Get out."}


def test_the_random_policy_fills_a_query_with_words_of_the_task():
    drawn = [
        RandomPolicy().act([view(actions=("search[<query>]",))], seed=seed)[0].action.removesuffix("]")
        for seed in range(40)
    ]
    assert {action.removeprefix("search[") for action in drawn} == {"Get", "out.", "Get out."}
