"""The command line with the toy world among its groups: ``python -m tests.toy_main env=toy ...``."""

import os
import time
from dataclasses import dataclass
from typing import ClassVar

from hydra.core.config_store import ConfigStore

from leap_exp.__main__ import main
from leap_exp.config.environments import EnvConfig
from leap_exp.config.schema import setting
from leap_exp.config.students import StudentConfig
from leap_exp.config.teachers import TeacherConfig
from leap_exp.config.trainers import TrainerConfig
from tests.toy import ToyEnvironment, ToyStudent, ToyTeacher, ToyTrainer


class SlowStudent(ToyStudent):
    """Slow enough to be caught in the middle."""

    def act(self, batch, *, seed):
        time.sleep(float(os.environ.get("TOY_SECONDS", "0")))
        return super().act(batch, seed=seed)

    def load(self, folder, *, policy_id):
        return SlowStudent(super().load(folder, policy_id=policy_id).known, policy_id=policy_id)


@dataclass
class ToyEnvConfig(EnvConfig):
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
    def build(self, environment, *, seed):
        return ToyTeacher(environment)


@dataclass
class ToyTrainerConfig(TrainerConfig):
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
    main()
