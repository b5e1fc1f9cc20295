"""The page in a real browser: the viewer works, and the console stays empty."""

import re
from html import unescape

from leap_exp.report import write_report

PRESS = """
<script>
const third = document.querySelectorAll("#list button")[2];
third.focus();
third.click();
for (const key of KEYS) {
  document.activeElement.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true }));
}
</script>
"""


def part(document: str, name: str) -> str:
    """Return the text of the element with the id ``name``, up to the next element that has an id."""
    inner = re.search(rf'id="{name}"[^>]*>(.*?)(?= id="|</body>)', document, re.DOTALL)[1]
    return re.sub(r"\s+", " ", unescape(re.sub(r"<[^>]*>?", " ", inner))).strip()


def test_viewer_opens_the_step_in_the_address(make_run, browse):
    path = write_report(make_run())
    document, console = browse(path, "#round=2&stage=rollout&task=toy%2Ftrain%2F201&step=2")
    assert console == []
    assert part(document, "place") == "step 2 of 3"
    assert part(document, "instruction") == "put mug number 201 in shelf."
    assert part(document, "observation").startswith("You see a </script><script>window.broken")
    decisions = part(document, "decisions")
    assert "Student go to shelf 1 Cabinets often hold mugs." in decisions
    assert "Teacher changed open cabinet 1 Mug 2 is in cabinet 1." in decisions
    assert part(document, "admissible").startswith("5 admissible actions")


def test_arrow_keys_continue_from_the_clicked_trajectory(make_run, browse):
    path = write_report(make_run())
    page = path.read_text()
    keys = '["ArrowDown", "ArrowRight", "ArrowRight", "ArrowLeft", "ArrowUp", "ArrowUp", "ArrowRight"]'
    path.write_text(page.replace("</body>", PRESS.replace("KEYS", keys) + "</body>"))
    document, console = browse(path)
    assert console == []
    assert part(document, "instruction") == "put mug number 1 in shelf."
    assert part(document, "place") == "step 2 of 5"
