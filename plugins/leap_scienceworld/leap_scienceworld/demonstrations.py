"""Write demonstrations by the gold path: ``python -m leap_scienceworld.demonstrations FILE --tasks 100``.

The expert that sees only the history cannot do most experiments, so a student that is to learn them starts from these:
``demonstrations.source=FILE``. Their reasons are those of a privilege level, by default the highest that reveals
nothing.
"""

import argparse
import logging
from pathlib import Path

from leap_exp.core.privilege import Disclosure
from leap_exp.core.seeding import derive_seed
from leap_exp.runs import write_records
from leap_exp.stages.rollout import rollout, sample_tasks
from leap_exp.students.scripted import OraclePolicy
from leap_scienceworld.config import ScienceWorldConfig
from leap_scienceworld.environment import SPLITS, ScienceWorldEnvironment

logger = logging.getLogger(__name__)


def main() -> None:
    """Read the arguments, play, and write the file."""
    parser = argparse.ArgumentParser(description="Write demonstrations by the gold path of ScienceWorld.")
    parser.add_argument("file", type=Path, help="where to write them")
    parser.add_argument("--tasks", type=int, default=100, help="number of tasks, drawn from the split")
    parser.add_argument("--names", nargs="*", default=[], help="names of tasks; all 30 if there are none")
    parser.add_argument("--split", default="train", choices=SPLITS)
    parser.add_argument("--disclosure", default=Disclosure.P50, choices=[*Disclosure][2:], help="privilege level")
    parser.add_argument("--simplifications", nargs="*", default=[], help="the package's simplifications")
    parser.add_argument("--max-steps", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    config = ScienceWorldConfig(tasks=arguments.names, simplifications=arguments.simplifications)
    environment = ScienceWorldEnvironment(config)
    trajectories = rollout(
        environment,
        OraclePolicy(environment, Disclosure(arguments.disclosure)),
        sample_tasks(
            environment.tasks(arguments.split), arguments.tasks, seed=derive_seed(arguments.seed, "demonstrations")
        ),
        seed=arguments.seed,
        max_steps=arguments.max_steps,
        batch=environment.parallel_steps,
        on_progress=lambda done, total: logger.info("%d/%d", done, total),
    )
    write_records(arguments.file, trajectories, {})
    succeeded = sum(trajectory.succeeded for trajectory in trajectories)
    logger.info("%s: %d demonstrations, %d of them reach 100 points.", arguments.file, len(trajectories), succeeded)


if __name__ == "__main__":
    main()
