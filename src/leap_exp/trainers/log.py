"""The log of a training: what happened at each optimizer step, and how much was used so far."""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from leap_exp.runs import LineLog, encode_metrics, read_document, write_document

_STATE_NAME = "train_log.json"


class TrainLog:
    """Collects the losses of batches into optimizer steps and epochs, and writes a line per step to ``path``.

    It is saved with each checkpoint, so that a training that goes on from there ends with the same log.

    Attributes:
        path: The file.
        tokens: Tokens read so far.
        epochs: Mean loss and metrics of each epoch.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.tokens = 0
        self.epochs: list[dict[str, float]] = []
        self._file = LineLog(path)
        self._lines: list[dict[str, Any]] = []
        self._batches: list[Mapping[str, torch.Tensor]] = []
        self._epoch: dict[str, torch.Tensor] = {}
        self._epoch_steps = 0
        self._noted: Mapping[str, float] = {}
        self._seconds_before = 0.0
        self._start = time.monotonic()

    @property
    def seconds(self) -> float:
        """Seconds since the training began, without the time between a stop and its continuation."""
        return self._seconds_before + time.monotonic() - self._start

    def add_batch(self, parts: Mapping[str, torch.Tensor], *, tokens: int) -> None:
        """Add a batch's part of the step's loss and metrics, and the tokens read for it."""
        self._batches.append({name: part.detach() for name, part in parts.items()})
        self.tokens += tokens

    def note(self, values: Mapping[str, float]) -> None:
        """Add ``values``, such as the learning rate, to the line of the step."""
        self._noted = values

    def end_step(self, step: int, *, epoch: float) -> None:
        """Write the line of an optimizer step."""
        sums: dict[str, torch.Tensor] = {}
        for batch in self._batches:
            for name, part in batch.items():
                sums[name] = sums.get(name, torch.zeros(())) + part.cpu()
                # In the same order and precision as transformers adds them up.
                self._epoch[name] = self._epoch.get(name, torch.zeros(())) + part.cpu()
        self._epoch_steps += 1
        self._batches = []
        values = {**{name: value.item() for name, value in sums.items()}, **self._noted}
        self._write({"step": step, "epoch": round(epoch, 4), "tokens": self.tokens, **encode_metrics(values)})

    def end_epoch(self) -> None:
        """Note the means over the steps of an epoch."""
        if self._epoch_steps:
            self.epochs.append({name: total.item() / self._epoch_steps for name, total in self._epoch.items()})
        self._epoch, self._epoch_steps = {}, 0

    def save(self, folder: Path) -> None:
        """Write the state of the log to the checkpoint ``folder``."""
        state = {
            "lines": self._lines,
            "epochs": self.epochs,
            "epoch": {name: total.item() for name, total in self._epoch.items()},
            "epoch_steps": self._epoch_steps,
            "tokens": self.tokens,
            "seconds": self.seconds,
        }
        write_document(folder / _STATE_NAME, state)

    def load(self, folder: Path) -> None:
        """Go on from the state in the checkpoint ``folder``."""
        state = read_document(folder / _STATE_NAME)
        self.epochs, self.tokens, self._epoch_steps = state["epochs"], state["tokens"], state["epoch_steps"]
        self._epoch = {name: torch.tensor(total) for name, total in state["epoch"].items()}
        self._seconds_before = state["seconds"]
        for line in state["lines"]:
            self._write(line)

    @staticmethod
    def is_saved_in(folder: Path) -> bool:
        """Return whether the checkpoint ``folder`` has the state of a log."""
        return (folder / _STATE_NAME).is_file()

    def _write(self, line: dict[str, Any]) -> None:
        self._lines.append(line)
        self._file.replay(line)
