"""A language model that reads reasons, for the measure of leakage."""

from collections.abc import Mapping, Sequence

from leap_exp.students.hf import HfStudent
from leap_exp.tokens.spans import choice_row


class ModelReader:
    """A reader (``leap_exp.analysis.reader``) with the weights of a student, in this process, without its prompts."""

    def __init__(self, student: HfStudent) -> None:
        self._student = student

    def logprobs(self, texts: Sequence[str], candidates: Sequence[Sequence[str]]) -> list[Mapping[str, float]]:
        """Return the log-probability of each candidate after each text, among all texts; a full stop ends it.

        Of a text that is too long the end is read.
        """
        codec, most = self._student.codec, self._student.config.context_length
        rows = []
        for text, options in zip(texts, candidates, strict=True):
            # No candidate may be the beginning of another, as "drawer 1" is of "drawer 11".
            ids = [codec.text_ids(f" {candidate}.\n") for candidate in options]
            prompt = codec.text_ids(text)[-(most - max(map(len, ids))) :]
            rows.append(choice_row("reader", prompt, ids, restricted=False))
        return [
            {candidate: score.total(index) for index, candidate in enumerate(options)}
            for score, options in zip(self._student.score(rows), candidates, strict=True)
        ]
