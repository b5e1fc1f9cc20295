"""The page of a sweep in a real browser: sorting, comparing, widths, themes, and what a screen reader is told."""

import json
import re
from html import unescape

import pytest

from leap_exp.report import write_report
from leap_exp.runs import write_document


@pytest.fixture
def page(make_run, tmp_path):
    """The report of levels and a control, with every section."""
    levels = (("none", 0.35), ("p25", 0.9), ("p100", 0.5), ("shuffled_facts_of_another_task", 0.4))
    for privilege, success in levels:
        run = make_run(f"ladder/{privilege}", success=(0.3, success), privilege=privilege)
        rows = [{"depth": None, "steps": 9, "nats": 0.4, "floor": 0.3}]
        write_document(run / "round_001" / "measures.json", {"information": {"heldout": rows, "train": rows}})
        bound = {"recoverability": 1.0, "epsilon": 0.2, "gamma": 0.1, "right": -0.2, "slack": 0.3, "holds": True}
        write_document(run / "measures.json", {"rounds": [], "bound": [bound]})
    return write_report(tmp_path / "ladder")


def with_script(path, script):
    """Return a copy of a page that runs ``script`` and has what it returns as its title."""
    copy = path.with_name("with_script.html")
    end = f"<script>document.title = JSON.stringify((() => {{ {script} }})());</script></body>"
    copy.write_text(path.read_text().replace("</body>", end))
    return copy


def result_of(document):
    return json.loads(unescape(re.search("<title>(.*?)</title>", document, re.DOTALL)[1]))


def test_headings_sort_the_rows_and_say_so(page, browse):
    script = """
    const table = document.querySelector("#arms table");
    const order = () => [...table.tBodies[0].rows].map((row) => row.cells[0].textContent);
    const press = (place) => table.tHead.rows[0].cells[place].querySelector("button").click();
    const sorts = () => [...table.tHead.rows[0].cells].map((cell) => cell.getAttribute("aria-sort")).slice(0, 2);
    const shares = () => [...table.tBodies[0].rows].map((row) => Number(row.cells[1].dataset.value));
    const found = [order()];
    press(1);
    found.push(shares(), sorts());
    press(1);
    found.push(shares(), sorts());
    press(0);
    found.push(order(), sorts());
    return found;
    """
    document, console = browse(with_script(page, script))
    assert console == []
    start, falling, down, rising, up, by_name, named = result_of(document)
    assert start == ["none", "p25", "p100", "shuffled_facts_of_another_task"]
    assert falling == sorted(falling, reverse=True)
    assert down == [None, "descending"]
    assert rising == sorted(rising)
    assert up == [None, "ascending"]
    assert by_name == ["none", "p25", "p100", "shuffled_facts_of_another_task"]
    assert named == ["ascending", None]


def test_a_task_is_shown_for_every_arm_and_can_be_linked_to(page, browse):
    script = """
    document.getElementById("next").click();
    const articles = [...document.querySelectorAll("#episodes article")];
    return {
      hash: location.hash, chosen: document.getElementById("task").selectedIndex,
      about: document.getElementById("about").textContent,
      names: articles.map((each) => document.getElementById(each.getAttribute("aria-labelledby")).textContent),
      steps: articles.map((each) => each.querySelectorAll("li details").length),
    };
    """
    document, console = browse(with_script(page, script), "#task=toy%2Fvalid_unseen%2F7")
    found = result_of(document)
    assert console == []
    assert found["chosen"] > 0
    assert found["hash"] != "#task=toy%2Fvalid_unseen%2F7"
    assert [name.split()[0] for name in found["names"]] == ["none", "p25", "p100", "shuffled_facts_of_another_task"]
    assert all(found["steps"])
    assert "window.broken = 1" in document
    assert "put mug number" in found["about"]


@pytest.mark.parametrize("width", [390, 1280])
def test_nothing_is_wider_than_the_screen(page, browse, width):
    """A window of Chromium is never narrower than 500 pixels, so the page is in a frame."""
    frame = page.with_name("frame.html")
    text = json.dumps(page.read_text()).replace("<", "\\u003c")
    frame.write_text(
        f'<body><iframe style="width:{width}px;height:2000px;border:0"></iframe>'
        f"<script>document.querySelector('iframe').srcdoc = {text}</script></body>"
    )
    script = """
    const inner = document.querySelector("iframe").contentDocument;
    const wide = [...inner.querySelectorAll("main *")].filter((each) => !each.closest(".scroll, .episodes"))
      .filter((each) => each.getBoundingClientRect().right > inner.documentElement.clientWidth + 1)
      .map((each) => each.outerHTML.slice(0, 90));
    return { width: inner.defaultView.innerWidth, scroll: inner.documentElement.scrollWidth, wide };
    """
    later = f"setTimeout(() => {{ document.title = JSON.stringify((() => {{ {script} }})()); }}, 1500);"
    frame.write_text(frame.read_text().replace("</body>", f"<script>{later}</script></body>"))
    document, console = browse(frame)
    found = result_of(document)
    assert console == []
    assert found["width"] == width
    assert found["wide"] == []
    assert found["scroll"] <= width


def test_everything_has_a_name_and_can_be_reached_by_keyboard(page, browse):
    script = """
    const all = (selector) => [...document.querySelectorAll(selector)];
    const named = (node) => Boolean(node.getAttribute("aria-label") || node.labels?.length || node.textContent.trim());
    return {
      charts: all("svg").length,
      charts_named: all("svg[role=img] > title").length,
      chart_tables: all("figure details table").length,
      regions_unnamed: all("[role=region]").filter((each) => !each.getAttribute("aria-label")).length,
      regions_unreachable: all(".scroll").filter((each) => each.tabIndex !== 0).length,
      controls_unnamed: all("button, select, a, summary").filter((each) => !named(each)).length,
      out_of_order: all("[tabindex]").filter((each) => each.tabIndex > 0).length,
      headings: all("h1, h2, h3").map((each) => Number(each.tagName[1])),
      heads: all("table").filter((each) => !each.querySelector("thead th[scope=col]")).length +
        all("table").filter((each) => !each.querySelector("tbody th[scope=row]")).length,
      links: all("nav a").filter((each) => !document.querySelector(each.getAttribute("href"))).length,
      lang: document.documentElement.lang,
      main: all("main").length,
    };
    """
    document, console = browse(with_script(page, script))
    found = result_of(document)
    assert console == []
    assert found["charts"] == found["charts_named"] == found["chart_tables"] > 5
    for name in ("regions_unnamed", "regions_unreachable", "controls_unnamed", "out_of_order", "heads", "links"):
        assert found[name] == 0, name
    assert all(later - earlier <= 1 for earlier, later in zip(found["headings"], found["headings"][1:], strict=False))
    assert (found["lang"], found["main"]) == ("en", 1)


@pytest.mark.parametrize("dark", [False, True])
def test_text_has_enough_contrast(page, browse, dark):
    script = """
    const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
    const rgb = (colour) => {
      canvas.fillStyle = colour; canvas.fillRect(0, 0, 1, 1);
      return [...canvas.getImageData(0, 0, 1, 1).data].slice(0, 3);
    };
    const light = (colour) => rgb(colour).map((each) => each / 255)
      .map((each) => (each <= 0.04045 ? each / 12.92 : ((each + 0.055) / 1.055) ** 2.4))
      .reduce((sum, each, place) => sum + each * [0.2126, 0.7152, 0.0722][place], 0);
    const behind = (node) => {
      const colour = getComputedStyle(node).backgroundColor;
      return colour === "rgba(0, 0, 0, 0)" && node.parentElement ? behind(node.parentElement) : colour;
    };
    const contrast = (node) => {
      const style = getComputedStyle(node);
      const chart = node.closest("svg");
      const both = [light(chart ? style.fill : style.color), light(behind(chart ? chart.parentElement : node))];
      return (Math.max(...both) + 0.05) / (Math.min(...both) + 0.05);
    };
    const texts = [...document.querySelectorAll("p, td, th, a, code, button, summary, .badge, svg text")]
      .filter((each) => !each.disabled);
    const low = texts.filter((each) => contrast(each) < 4.5);
    return { paper: behind(document.body), texts: texts.length,
      low: low.map((each) => `${each.outerHTML.slice(0, 80)} ${contrast(each)}`) };
    """
    document, _ = browse(with_script(page, script), dark=dark)
    found = result_of(document)
    assert found["paper"] == ("rgb(20, 23, 26)" if dark else "rgb(252, 252, 250)")
    assert found["texts"] > 100
    assert found["low"] == []
