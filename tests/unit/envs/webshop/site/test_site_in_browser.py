"""The shop's web site in a real browser, used by keyboard only and on a narrow screen."""

import fcntl
import json
import os
import shutil
import subprocess
import sys
import time
from itertools import count

import pytest

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs chromium, which is not installed here")

PATIENCE_SECONDS = 60
AS_FILES_3_AND_4 = """
import os, sys
for place, end in enumerate(sys.argv[1:3], start=3):
    os.dup2(int(end), place)
os.execv(sys.argv[3], sys.argv[3:])
"""
KEYS = {"Enter": (13, "\r"), "Tab": (9, "")}


class Browser:
    """Chromium, controlled through a pair of pipes (the DevTools protocol)."""

    def __init__(self, profile):
        to_read, self._commands = os.pipe()
        self._answers, to_write = os.pipe()
        command = [
            *(CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
            *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
            *("--remote-debugging-pipe", f"--user-data-dir={profile}", "about:blank"),
        ]
        # The browser expects the pipes as files 3 and 4; copies with high numbers do not collide with these.
        ends = [fcntl.fcntl(end, fcntl.F_DUPFD, 100) for end in (to_read, to_write)]
        launcher = [sys.executable, "-c", AS_FILES_3_AND_4, *map(str, ends)]
        self._process = subprocess.Popen([*launcher, *command], stderr=subprocess.DEVNULL, pass_fds=ends)
        for end in (to_read, to_write, *ends):
            os.close(end)
        self._numbers, self._received, self._session = count(1), b"", {}
        self.complaints = []
        target = next(each for each in self.send("Target.getTargets")["targetInfos"] if each["type"] == "page")
        attached = self.send("Target.attachToTarget", targetId=target["targetId"], flatten=True)
        self._session = {"sessionId": attached["sessionId"]}
        for domain in ("Page", "Runtime", "Log"):
            self.send(f"{domain}.enable")

    def send(self, method, **parameters):
        number = next(self._numbers)
        message = {"id": number, "method": method, "params": parameters, **self._session}
        os.write(self._commands, json.dumps(message).encode() + b"\0")
        while True:
            message = self._next()
            if message.get("method") in ("Log.entryAdded", "Runtime.exceptionThrown", "Runtime.consoleAPICalled"):
                self.complaints.append(message["params"])
            if message.get("id") == number:
                assert "error" not in message, message
                return message["result"]

    def _next(self):
        while b"\0" not in self._received:
            part = os.read(self._answers, 1 << 16)
            assert part, "the browser ended"
            self._received += part
        line, _, self._received = self._received.partition(b"\0")
        return json.loads(line)

    def value(self, expression):
        return self.send("Runtime.evaluate", expression=expression, returnByValue=True)["result"].get("value")

    def await_text(self, text):
        """Wait until the page shows ``text``, and return its whole text."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while text not in (shown := self.value("document.body ? document.body.innerText : ''") or ""):
            assert time.monotonic() < deadline, f"{text!r} does not show, but {shown!r}"
            time.sleep(0.05)
        return shown

    def await_focus(self, name):
        """Wait until the field ``name`` has the focus."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while self.value("document.activeElement && document.activeElement.id") != name:
            assert time.monotonic() < deadline, f"{name!r} does not get the focus"
            time.sleep(0.05)

    def press(self, name):
        number, text = KEYS[name]
        for kind in ("keyDown", "keyUp"):
            self.send("Input.dispatchKeyEvent", type=kind, key=name, code=name, windowsVirtualKeyCode=number, text=text)

    def tab_to(self, label):
        """Press Tab until the element with ``label`` has the focus."""
        for _ in range(40):
            self.press("Tab")
            if (self.value("document.activeElement.innerText") or "").startswith(label):
                return
        raise AssertionError(f"{label!r} cannot be reached by the keyboard")

    def close(self):
        self.send("Browser.close")
        self._process.wait(timeout=PATIENCE_SECONDS)
        os.close(self._commands)
        os.close(self._answers)


@pytest.fixture
def browser(tmp_path):
    browser = Browser(tmp_path / "profile")
    yield browser
    browser.close()


def test_a_purchase_by_keyboard_on_a_phone(site, blue_mug, browser):
    browser.send("Emulation.setDeviceMetricsOverride", width=360, height=740, deviceScaleFactor=1, mobile=True)
    widths = []

    def shows(text):
        shown = browser.await_text(text)
        widths.append(browser.value("document.documentElement.scrollWidth"))
        return shown

    site.first_goal = blue_mug
    browser.send("Page.navigate", url=site.address)
    shows("Start shopping")
    browser.await_focus("goal")
    browser.press("Enter")
    shows("dishwasher safe mugs with color: navy blue")
    browser.await_focus("query")
    browser.send("Input.insertText", text="stoneware mug")
    browser.press("Enter")
    shows("Total results")
    browser.tab_to("Blue Stoneware Mug")
    browser.press("Enter")
    shows("Buy Now")
    browser.tab_to("navy blue")
    browser.press("Enter")
    shows("action 4")
    assert browser.value("document.querySelector('[aria-pressed=true]').innerText") == "navy blue"
    browser.tab_to("Buy Now")
    browser.press("Enter")
    assert "Reward 1.000" in shows("Next goal")
    assert widths == [360] * len(widths)
    assert browser.complaints == []


def test_a_script_in_a_product_name_does_not_run(site, browser):
    browser.send("Page.navigate", url=site.address)
    browser.await_focus("goal")
    browser.press("Enter")
    browser.await_focus("query")
    browser.send("Input.insertText", text="window.broken")
    browser.press("Enter")
    browser.await_text("<script>window.broken = 1</script>")
    assert browser.value("typeof window.broken") == "undefined"
    assert browser.complaints == []
