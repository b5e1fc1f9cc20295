"""An environment alone, without a trainer: the oracle solves an ALFWorld task; prints what a student would see."""

from leap_exp.core.privilege import Disclosure
from leap_exp.core.types import Step, View
from leap_exp.envs.alfworld.config import AlfworldConfig

environment = AlfworldConfig().build()
task = environment.tasks("valid_unseen")[0]
oracle = environment.oracle(task)
history: tuple[Step, ...] = ()
with environment.open(task, seed=0) as episode:
    print(episode.observation.text)
    done = False
    while not done:
        view = View(task=task, history=history, observation=episode.observation)
        decision = oracle.decide(view, Disclosure.P100, seed=0)
        transition = episode.step(decision.action)
        history += (Step(observation=view.observation, decision=decision, reward=transition.reward),)
        done = transition.done
        print(f"> {decision.action}    ({decision.reason})\n{transition.observation.text}")
    print(f"Score {episode.score():g} after {len(history)} steps.")
