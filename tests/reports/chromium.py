"""A real browser, headless, by its DevTools protocol over a pipe: nothing but Chromium is needed.

`python -m tests.reports.chromium PAGE.html OUT.png [WIDTH [HEIGHT [dark] [#ID]]]` takes a picture.
"""

from __future__ import annotations

import base64
import json
import os
import select
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Any

from tests.reports import tools

FLAGS = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--remote-debugging-pipe", "--disable-dev-shm-usage", "--force-color-profile=srgb",
)  # fmt: skip


class Browser:
    """One page in a browser; `events` are what the protocol said of it."""

    def __init__(self, width: int = 1280, height: int = 800, *, dark: bool = False) -> None:
        self.size = (width, height)
        self.dark = dark
        self.events: list[dict[str, Any]] = []
        self.number = 0
        self.buffer = b""

    def __enter__(self) -> Browser:
        program = tools.program("chromium")
        self.profile = tempfile.TemporaryDirectory(prefix="sslint-chromium-")
        theirs, self.out = os.pipe()
        self.inp, ours = os.pipe()
        # The protocol is spoken on descriptors 3 and 4.
        shell = 'exec "$@" 3<&"$A" 4>&"$B"'
        self.process = subprocess.Popen(
            ["bash", "-c", shell, "sh", program, *FLAGS, f"--user-data-dir={self.profile.name}",
             "about:blank"],
            pass_fds=(theirs, ours),
            env={**os.environ, "A": str(theirs), "B": str(ours)},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )  # fmt: skip
        os.close(theirs)
        os.close(ours)
        found = self.call("Target.attachToTarget", targetId=self._page(), flatten=True)
        self.session: str | None = found["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")
        self.resize(*self.size)
        return self

    session: str | None = None

    def _page(self) -> str:
        """Return the page that the browser opens, which it may not have done yet."""
        for _ in range(300):
            for one in self.call("Target.getTargets")["targetInfos"]:
                if one["type"] == "page":
                    return str(one["targetId"])
            time.sleep(0.1)
        raise AssertionError("the browser opens no page")

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        os.close(self.inp)
        os.close(self.out)
        for _ in range(20):  # its helpers may write a little longer
            try:
                self.profile.cleanup()
                break
            except OSError:
                time.sleep(0.1)

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Call a method of the protocol and return its result."""
        self.number += 1
        message: dict[str, Any] = {"id": self.number, "method": method, "params": parameters}
        if self.session is not None:
            message["sessionId"] = self.session
        os.write(self.out, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._next(30)
            if answer.get("id") == self.number:
                assert "error" not in answer, answer
                return dict(answer["result"])
            self.events.append(answer)

    def _next(self, seconds: float) -> dict[str, Any]:
        while b"\0" not in self.buffer:
            waiting = select.poll()  # select(2) takes no descriptor above 1023
            waiting.register(self.inp, select.POLLIN)
            assert waiting.poll(seconds * 1000), "the browser does not answer"
            data = os.read(self.inp, 1 << 20)
            assert data, "the browser has gone"
            self.buffer += data
        first, _, self.buffer = self.buffer.partition(b"\0")
        return dict(json.loads(first))

    def resize(self, width: int, height: int) -> None:
        """Set the size of the window, and whether it is dark."""
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width, height=height, deviceScaleFactor=1, mobile=width < 600,
        )  # fmt: skip
        scheme = "dark" if self.dark else "light"
        feature = {"name": "prefers-color-scheme", "value": scheme}
        motion = {"name": "prefers-reduced-motion", "value": "reduce"}
        self.call("Emulation.setEmulatedMedia", features=[feature, motion])

    def open(self, path: Path, anchor: str = "") -> float:
        """Open a page and return the seconds until it is loaded and drawn."""
        self.go("about:blank")  # else another anchor is no new page
        seconds = self.go(path.resolve().as_uri() + anchor)
        start = time.monotonic()
        self.run("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
        return seconds + time.monotonic() - start

    def go(self, address: str) -> float:
        """Go to an address and return the seconds until it is loaded."""
        self.events.clear()
        start = time.monotonic()
        self.call("Page.navigate", url=address)
        while not any(event.get("method") == "Page.loadEventFired" for event in self.events):
            self.events.append(self._next(30))
        return time.monotonic() - start

    def text(self) -> str:
        """Return what a screen reader finds on the page, one thing after the other."""
        nodes = self.call("Accessibility.getFullAXTree")["nodes"]
        return " ".join(str(node.get("name", {}).get("value", "")) for node in nodes)

    def run(self, script: str) -> Any:
        """Return the value of an expression in the page."""
        found = self.call(
            "Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True
        )
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    def press(self, key: str, code: int) -> None:
        """Press a key."""
        text = "\r" if key == "Enter" else ""
        for kind in ("keyDown", "keyUp"):
            self.call("Input.dispatchKeyEvent", type=kind, key=key, code=key, text=text,
                      windowsVirtualKeyCode=code)  # fmt: skip

    def picture(self, path: Path) -> None:
        """Write what is seen without scrolling to a PNG."""
        data = self.call("Page.captureScreenshot", format="png")["data"]
        path.write_bytes(base64.b64decode(data))

    @property
    def said(self) -> list[str]:
        """Errors and warnings of the console, and what the script threw."""
        found = []
        for event in self.events:
            method, params = event.get("method", ""), event.get("params", {})
            if method == "Runtime.exceptionThrown":
                found.append(str(params["exceptionDetails"]))
            elif method == "Log.entryAdded":
                found.append(str(params["entry"]["text"]))
            elif method == "Runtime.consoleAPICalled":
                found.append(str(params["args"]))
        return found

    @property
    def requested(self) -> list[str]:
        """Every address that the page asked for."""
        return [
            event["params"]["request"]["url"]
            for event in self.events
            if event.get("method") == "Network.requestWillBeSent"
        ]


def main(words: list[str]) -> None:
    numbers = [int(word) for word in words[2:] if word.isdecimal()]
    anchor = next((word for word in words if word.startswith("#")), "")
    width, height = [*numbers, 1280, 800][:2] if len(numbers) > 1 else [*(numbers or [1280]), 800]
    with Browser(width, height, dark="dark" in words) as browser:
        print(f"{browser.open(Path(words[0]), anchor):.2f} s", browser.said, browser.requested[1:])
        if "full" in words:
            whole = browser.run("document.documentElement.scrollHeight")
            browser.resize(width, min(whole, 6000))
        browser.picture(Path(words[1]))


if __name__ == "__main__":
    main(sys.argv[1:])
