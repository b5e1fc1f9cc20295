"""One of the processes of a training, as torchrun starts it: ``python -m leap_exp.trainers.worker FOLDER``."""

import logging
import os
import pickle
import sys
import time
from pathlib import Path

from accelerate import PartialState

from leap_exp.runs import LineLog, encode_metrics, write_document
from leap_exp.trainers.launch import FAILURE, METRICS, REPORTS, TASK, Task
from leap_exp.trainers.processes import Processes


def main(folder: Path) -> None:
    """Do this process's part of the training in ``folder``."""
    rank = int(os.environ["RANK"])
    try:
        task: Task = pickle.loads((folder / TASK).read_bytes())  # noqa: S301 - the process that started us wrote it
        state = PartialState(cpu=task.training.weights.device == "cpu")
        processes = Processes(count=state.num_processes, rank=rank, device=str(state.device))
        reports = LineLog(folder / REPORTS) if processes.is_first else None
        _pass_on_warnings(reports)
        metrics = task.training.run(
            task.out,
            lambda done, total: None if reports is None else reports.append({"done": done, "total": total}),
            processes=processes,
            sharded=task.sharded,
        )
        if processes.is_first:
            write_document(folder / METRICS, encode_metrics(metrics))
        processes.wait()
        state.destroy_process_group()
    except Exception as error:
        note = {"rank": rank, "kind": type(error).__name__, "message": str(error), "time": time.time()}
        write_document(folder / FAILURE.format(rank=rank), note)
        raise


class _Handler(logging.Handler):
    """Writes messages to the reports."""

    def __init__(self, reports: LineLog) -> None:
        super().__init__(logging.WARNING)
        self._reports = reports

    def emit(self, record: logging.LogRecord) -> None:
        """Write a message."""
        self._reports.append({"logger": record.name, "level": record.levelno, "message": record.getMessage()})


def _pass_on_warnings(reports: LineLog | None) -> None:
    """Report the warnings of leap_exp; those of processes other than the first are the same, so they are dropped."""
    logger = logging.getLogger("leap_exp")
    logger.propagate = False
    logger.addHandler(logging.NullHandler() if reports is None else _Handler(reports))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
