"""The self teacher in the loop: the right student teaches, also in a resumed run."""

from dataclasses import replace

import pytest

from leap_exp.core.types import Decision
from leap_exp.teachers.self_teacher import SelfTeacher, Snapshot
from tests.support.toy import ToyStudent, toy_leap


class DoorStudent(ToyStudent):
    """Reads the door from the facts of the toy environment."""

    def advise(self, views, briefings):
        return [Decision(reason=self.id, action=b.facts.text[len("Behind ") : -1]) for b in briefings]

    def averaged(self, students, weights, *, policy_id):
        names = "+".join(f"{weight} {student.id}" for student, weight in zip(students, weights, strict=True))
        return DoorStudent(self.known, policy_id=f"({names})")

    def load(self, folder, *, policy_id):
        return DoorStudent(super().load(folder, policy_id=policy_id).known, policy_id=policy_id)


@pytest.mark.parametrize("snapshot", list(Snapshot))
def test_the_right_student_teaches_and_a_resumed_run_gives_the_same_corrections(tmp_path, snapshot):
    def leap(name, rounds=3):
        own = SelfTeacher(snapshot=snapshot, decay=0.5)
        return replace(toy_leap(tmp_path / name, rounds=rounds), student=DoorStudent({}), teacher=own)

    def corrections(name, index):
        return (tmp_path / name / f"round_{index:03d}" / "corrections.jsonl").read_bytes()

    leap("whole").run()
    expected = {
        Snapshot.LIVE: b"toy/round_1",
        Snapshot.ROUND_0: b"toy/round_0",
        Snapshot.EMA: b"(0.5 toy/round_0+0.5 toy/round_1)",
    }
    assert expected[snapshot] in corrections("whole", 2)
    leap("resumed", rounds=1).run()
    leap("resumed").run()
    assert [corrections("resumed", index) for index in (1, 2, 3)] == [
        corrections("whole", index) for index in (1, 2, 3)
    ]
