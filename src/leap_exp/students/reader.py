"""A language model that reads reasons, for the measure of leakage."""

from collections.abc import Mapping, Sequence

from leap_exp.analysis.reader import Reader
from leap_exp.students.hf import HfStudent
from leap_exp.tokens.spans import choice_row


class ModelReader(Reader):
    """Reads with the weights of a student, in this process, and without its prompts."""

    def __init__(self, student: HfStudent) -> None:
        self._student = student

    def logprobs(self, texts: Sequence[str], candidates: Sequence[Sequence[str]]) -> list[Mapping[str, float]]:
        """Return the log-probability of each candidate after each text, among all texts; a full stop ends it."""
        codec = self._student.codec
        rows = [
            choice_row(
                "reader",
                codec.text_ids(text)[-self._student.config.context_length :],
                # No candidate may be the beginning of another, as "drawer 1" is of "drawer 11".
                [codec.text_ids(f" {candidate}.\n") for candidate in options],
                restricted=False,
            )
            for text, options in zip(texts, candidates, strict=True)
        ]
        scores = self._student.score(rows)
        return [
            {candidate: score.total(index) for index, candidate in enumerate(options)}
            for score, options in zip(scores, candidates, strict=True)
        ]
