"""A real browser without a window, driven through the pipe it offers for that: no driver has to be installed."""

from __future__ import annotations

import base64
import json
import os
import select
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
# For a browser that hangs, not for one that is slow.
_PATIENCE_S = 120.0
_FLAGS = (
    "--headless",
    "--remote-debugging-pipe",
    "--no-first-run",
    "--no-default-browser-check",
    "--disable-background-networking",
    "--disable-background-timer-throttling",
    "--disable-backgrounding-occluded-windows",
    "--disable-renderer-backgrounding",
    "--disable-component-update",
    "--disable-default-apps",
    "--disable-extensions",
    "--disable-sync",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--hide-scrollbars",
    "--mute-audio",
    # The sandbox works neither for the superuser nor in most containers, and these pages are our own.
    "--no-sandbox",
    "--force-color-profile=srgb",
    "--font-render-hinting=none",
)
# The browser reads commands from descriptor 3 and answers on 4.
_LAUNCH = """
import fcntl, os, sys
commands, answers = (fcntl.fcntl(int(number), fcntl.F_DUPFD, 10) for number in sys.argv[1:3])
os.dup2(commands, 3)
os.dup2(answers, 4)
os.execv(sys.argv[3], sys.argv[3:])
"""
_KEYS = {
    "Enter": ("Enter", 13, "\r"),
    "Escape": ("Escape", 27, ""),
    "Tab": ("Tab", 9, ""),
    "Home": ("Home", 36, ""),
    "ArrowLeft": ("ArrowLeft", 37, ""),
    "ArrowUp": ("ArrowUp", 38, ""),
    "ArrowRight": ("ArrowRight", 39, ""),
    "ArrowDown": ("ArrowDown", 40, ""),
    "/": ("Slash", 191, "/"),
}


def find_browser() -> str | None:
    """The path of a Chromium on this machine."""
    return next((path for path in map(shutil.which, NAMES) if path), None)


class CommandError(RuntimeError):
    """The browser could not do what it was told."""


class Browser:
    """A browser process and its answers; a context manager. Pages come from `page`."""

    def __init__(self, path: str) -> None:
        self._home = tempfile.mkdtemp(prefix="flyweight-browser-")
        commands, self._commands = os.pipe()
        self._answers, answers = os.pipe()
        flags = (*_FLAGS, f"--user-data-dir={self._home}")
        self._process = subprocess.Popen(
            [sys.executable, "-c", _LAUNCH, str(commands), str(answers), path, *flags, "about:blank"],
            pass_fds=(commands, answers),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "HOME": self._home},
        )
        os.close(commands)
        os.close(answers)
        self._last = 0
        self._unread = b""
        self.events: list[dict[str, Any]] = []

    def __enter__(self) -> Browser:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._commands)
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        os.close(self._answers)
        shutil.rmtree(self._home, ignore_errors=True)

    def page(self, width: int = 1280, height: int = 900, *, dark: bool = False, scale: float = 1) -> Page:
        """An empty page of that size in CSS pixels."""
        target = self.send("Target.createTarget", url="about:blank")["targetId"]
        session = self.send("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        page = Page(self, target, session)
        for domain in ("Page", "Runtime", "Log", "Network"):
            page.send(f"{domain}.enable")
        page.resize(width, height, scale)
        page.prefer(dark)
        return page

    def send(self, method: str, session: str | None = None, **parameters: object) -> dict[str, Any]:
        """The answer to a command; events that come before it are kept."""
        self._last += 1
        number = self._last
        message = {"id": number, "method": method, "params": parameters, **({"sessionId": session} if session else {})}
        data = json.dumps(message).encode() + b"\0"
        while data:
            data = data[os.write(self._commands, data) :]
        while True:
            answer = self._read()
            if answer.get("id") != number:
                self.events.append(answer)
            elif "error" in answer:
                raise CommandError(f"{method}: {answer['error']}")
            else:
                result: dict[str, Any] = answer["result"]
                return result

    def _read(self) -> dict[str, Any]:
        deadline = time.monotonic() + _PATIENCE_S
        while b"\0" not in self._unread:
            if not select.select([self._answers], [], [], max(0.0, deadline - time.monotonic()))[0]:
                raise TimeoutError(f"the browser said nothing for {_PATIENCE_S:.0f} s")
            part = os.read(self._answers, 1 << 20)
            if not part:
                raise RuntimeError("the browser is gone")
            self._unread += part
        message, _, self._unread = self._unread.partition(b"\0")
        answer: dict[str, Any] = json.loads(message)
        return answer


class Page:
    """One page of a browser."""

    def __init__(self, browser: Browser, target: str, session: str) -> None:
        self._browser = browser
        self._target = target
        self._session = session

    def send(self, method: str, **parameters: object) -> dict[str, Any]:
        return self._browser.send(method, self._session, **parameters)

    def close(self) -> None:
        self._browser.send("Target.closeTarget", targetId=self._target)

    def resize(self, width: int, height: int, scale: float = 1) -> None:
        self.send(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=scale, mobile=False
        )

    def prefer(self, dark: bool, media: str = "") -> None:
        """The colours that the user prefers, and the medium: "" for screen, or "print"."""
        value = "dark" if dark else "light"
        self.send(
            "Emulation.setEmulatedMedia", media=media, features=[{"name": "prefers-color-scheme", "value": value}]
        )

    def open(self, path: Path | str) -> None:
        """Goes to a file (or address) and waits until a report is ready there."""
        self.send("Page.navigate", url=path.as_uri() if isinstance(path, Path) else path)
        self.wait("document.readyState === 'complete' && document.documentElement?.dataset.ready === 'true'")
        self.settle()

    def wait(self, condition: str) -> None:
        """Until an expression is true."""
        deadline = time.monotonic() + _PATIENCE_S
        while not self._is(condition):
            if time.monotonic() > deadline:
                raise TimeoutError(f"it never came true: {condition}")
            time.sleep(0.01)

    def _is(self, condition: str) -> bool:
        try:
            return bool(self.evaluate(f"Boolean({condition})"))
        except CommandError:  # the page that was asked is giving way to the next
            return False

    def settle(self) -> None:
        """Until what was asked for has been drawn."""
        self.evaluate("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => done(true))))")

    def evaluate(self, expression: str) -> Any:
        """The value of an expression, as JSON carries it; promises are awaited."""
        answer = self.send("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in answer:
            details = answer["exceptionDetails"]
            raise RuntimeError(details.get("exception", {}).get("description", details["text"]))
        return answer["result"].get("value")

    def key(self, key: str, shift: bool = False) -> None:
        code, number, text = _KEYS[key]
        event = {"key": key, "code": code, "windowsVirtualKeyCode": number, "modifiers": 8 if shift else 0}
        self.send("Input.dispatchKeyEvent", type="keyDown", text=text, **event)
        self.send("Input.dispatchKeyEvent", type="keyUp", **event)
        self.settle()

    def type(self, text: str) -> None:
        self.send("Input.insertText", text=text)
        self.settle()

    def click(self, x: float, y: float) -> None:
        for kind in ("mousePressed", "mouseReleased"):
            self.send("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)
        self.settle()

    def hover(self, x: float, y: float) -> None:
        self.send("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y)
        self.settle()

    def texts(self, selector: str) -> list[str]:
        """The text of each element, as it is shown."""
        found: list[str] = self.evaluate(
            f"[...document.querySelectorAll({json.dumps(selector)})].map((it) => it.innerText)"
        )
        return found

    def attribute(self, selector: str, name: str) -> str | None:
        value: str | None = self.evaluate(
            f"document.querySelector({json.dumps(selector)}).getAttribute({json.dumps(name)})"
        )
        return value

    def click_on(self, selector: str) -> None:
        box = self.box(selector)
        self.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)

    def press(self, label: str) -> None:
        """Clicks what carries exactly this text."""
        self.evaluate(
            "(() => { const all = [...document.querySelectorAll('button, label, summary')];"
            f" all.find((it) => it.innerText.trim() === {json.dumps(label)}).click(); }})()"
        )
        self.settle()

    def box(self, selector: str) -> dict[str, float]:
        """Where an element is on the screen, scrolled into view: x, y, width, height."""
        box: dict[str, float] = self.evaluate(
            f"(() => {{ const it = document.querySelector({json.dumps(selector)});"
            " it.scrollIntoView({block: 'center', behavior: 'instant'}); const {x, y, width, height} ="
            " it.getBoundingClientRect(); return {x, y, width, height}; })()"
        )
        return box

    def picture(self, path: Path, clip: dict[str, float] | None = None, *, whole: bool = False) -> None:
        """A PNG of what is seen, of a part of the page, or of the whole page."""
        parameters: dict[str, object] = {"format": "png", "captureBeyondViewport": whole or clip is not None}
        if clip:
            parameters["clip"] = {**clip, "scale": 1}
        elif whole:
            size = self.send("Page.getLayoutMetrics")["cssContentSize"]
            parameters["clip"] = {"x": 0, "y": 0, "width": size["width"], "height": size["height"], "scale": 1}
        path.write_bytes(base64.b64decode(self.send("Page.captureScreenshot", **parameters)["data"]))

    def complaints(self) -> list[str]:
        """Errors and warnings of the console, uncaught exceptions and violations of the policy so far."""
        return [str(event["params"]) for event in self._events(_is_complaint)]

    def requests(self) -> list[str]:
        """Addresses that the page has asked for so far, those of data in the page left out."""
        sent = self._events(lambda event: event["method"] == "Network.requestWillBeSent")
        urls = [event["params"]["request"]["url"] for event in sent]
        return [url for url in urls if not url.startswith("data:")]

    def _events(self, is_wanted: Callable[[dict[str, Any]], bool]) -> list[dict[str, Any]]:
        self.evaluate("0")  # whatever was on its way has arrived with the answer
        return [event for event in self._browser.events if event.get("sessionId") == self._session and is_wanted(event)]


# Opens the report of a capture, at a width and in light or dark.
Show = Callable[..., Page]


def _is_complaint(event: dict[str, Any]) -> bool:
    if event["method"] == "Runtime.exceptionThrown":
        return True
    if event["method"] == "Runtime.consoleAPICalled":
        return event["params"]["type"] in ("error", "warning", "assert")
    return event["method"] == "Log.entryAdded" and event["params"]["entry"]["level"] in ("error", "warning")
