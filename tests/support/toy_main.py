"""The command line with the toy world among its groups: ``python -m tests.support.toy_main env=toy ...``."""

import os
import sys
import time
from dataclasses import dataclass
from typing import ClassVar

from hydra.core.config_store import ConfigStore

from leap_exp.cli.main import main
from leap_exp.core.components import EnvironmentConfig, StudentConfig, TeacherConfig, TrainerConfig
from leap_exp.core.settings import setting
from tests.support.toy import ToyEnvironment, ToyStudent, ToyTeacher, ToyTrainer


class SlowStudent(ToyStudent):
    """Slow enough to be caught in the middle."""

    def act(self, batch, *, seed):
        time.sleep(float(os.environ.get("TOY_SECONDS", "0")))
        return super().act(batch, seed=seed)

    def load(self, folder, *, policy_id):
        return SlowStudent(super().load(folder, policy_id=policy_id).known, policy_id=policy_id)


@dataclass
class ToyEnvConfig(EnvironmentConfig):
    max_steps_train: int = setting(4, "Steps.")
    max_steps_eval: int = setting(5, "Steps.")

    def build(self):
        return ToyEnvironment()


@dataclass
class ToyStudentConfig(StudentConfig):
    trainable: ClassVar[bool] = True

    def build(self, environment):
        return SlowStudent({})


@dataclass
class ToyTeacherConfig(TeacherConfig):
    def build(self, environment, *, seed, place="teacher"):
        return ToyTeacher(environment)


@dataclass
class ToyTrainerConfig(TrainerConfig):
    max_tokens: int | None = setting(None, "Taken and not used.")

    def build(self):
        return ToyTrainer()


for group, schema in {
    "env": ToyEnvConfig,
    "student": ToyStudentConfig,
    "teacher": ToyTeacherConfig,
    "trainer": ToyTrainerConfig,
}.items():
    ConfigStore.instance().store(group=group, name="toy", node=schema)

if __name__ == "__main__":
    main(["run", *sys.argv[1:]])
