"""Chromium without a window, told what to do through a pipe (the DevTools protocol): what a reader's screen would show.

Owns: the browser's process, and what a page did and looks like. Never: lets it reach a network.
"""

from __future__ import annotations

import base64
import fcntl
import json
import os
import select
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PROGRAM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
NOBODY = "127.0.0.1:9"
PATIENCE = 60.0
"""Seconds that the browser may take for one answer."""

LOOK = """(() => {
  const numbers = color => color.match(/[\\d.]+/g).map(Number);
  const light = color => { const [r, g, b] = numbers(color).map(c => c / 255).map(
    c => c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4); return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
  const behind = element => { for (let e = element; e; e = e.parentElement) {
    const color = getComputedStyle(e).backgroundColor; const alpha = numbers(color)[3];
    if (alpha === undefined || alpha === 1) return color; }
    return matchMedia("(prefers-color-scheme: dark)").matches ? "rgb(18, 18, 18)" : "rgb(255, 255, 255)"; };
  const texts = [], walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) { const node = walker.currentNode, said = node.data.trim();
    if (!said || !node.parentElement.getClientRects().length) continue;
    const range = document.createRange(); range.selectNodeContents(node);
    const a = light(getComputedStyle(node.parentElement).color), b = light(behind(node.parentElement));
    texts.push({said, size: parseFloat(getComputedStyle(node.parentElement).fontSize),
      right: Math.max(...[...range.getClientRects()].map(r => r.right)),
      contrast: (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05)}); }
  const active = [...document.querySelectorAll("*")].filter(e => [...e.attributes].some(a => a.name.startsWith("on")) ||
    ["SCRIPT", "IFRAME", "OBJECT", "EMBED", "FORM", "LINK", "IMG", "SVG", "BASE"].includes(e.tagName.toUpperCase()));
  return {texts, width: document.documentElement.scrollWidth, height: document.documentElement.scrollHeight,
    ran: window.ran === undefined ? "" : String(window.ran), title: document.title,
    active: active.map(e => e.outerHTML)}; })()"""
"""What stands on the page: each text with its size in pixels, its right edge and its contrast as WCAG 2 computes it."""


@dataclass(frozen=True, slots=True)
class Text:
    """A piece of text as it is shown."""

    said: str
    size: float
    right: float
    contrast: float


@dataclass(frozen=True, slots=True)
class Page:
    """A page as it is shown: `requests` are all addresses it asked for, its own file aside."""

    width: float
    height: float
    title: str
    texts: tuple[Text, ...]
    active: tuple[str, ...]
    ran: str
    requests: tuple[str, ...]
    picture: bytes


class Chromium:
    """One running browser."""

    def __init__(self, process: subprocess.Popen[bytes], to: int, back: int) -> None:
        self._process, self._to, self._back = process, to, back
        self._rest = b""
        self._number = 0
        self._requests: list[str] = []

    def look(self, file: Path, width: int, *, dark: bool = False) -> Page:
        """Open a file in a window as wide as a phone or a mail program."""
        target = self._ask("Target.createTarget", url="about:blank")["targetId"]
        session = self._ask("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]

        def ask(method: str, **parameters: Any) -> Any:
            return self._ask(method, session, **parameters)

        self._requests.clear()
        ask("Network.enable")
        ask("Page.enable")
        size = {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": width < 600}
        ask("Emulation.setDeviceMetricsOverride", **size)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        ask("Emulation.setEmulatedMedia", features=[scheme])
        ask("Page.navigate", url=file.as_uri())
        ready = (
            "new Promise(done => document.readyState == 'complete' ? done(1) : addEventListener('load', () => done(1)))"
        )
        ask("Runtime.evaluate", expression=ready, awaitPromise=True)
        seen = ask("Runtime.evaluate", expression=LOOK, returnByValue=True)["result"]["value"]
        clip = {"x": 0, "y": 0, "width": width, "height": seen["height"], "scale": 1}
        picture = ask("Page.captureScreenshot", clip=clip, captureBeyondViewport=True)["data"]
        self._ask("Target.closeTarget", targetId=target)
        return Page(
            width=seen["width"],
            height=seen["height"],
            title=seen["title"],
            texts=tuple(Text(**each) for each in seen["texts"]),
            active=tuple(seen["active"]),
            ran=seen["ran"],
            requests=tuple(each for each in self._requests if each != file.as_uri()),
            picture=base64.b64decode(picture),
        )

    def _ask(self, method: str, session: str | None = None, **parameters: Any) -> Any:
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        os.write(self._to, json.dumps(message | ({"sessionId": session} if session else {})).encode() + b"\0")
        while True:
            told = self._hear()
            if told.get("method") == "Network.requestWillBeSent":
                self._requests.append(told["params"]["request"]["url"])
            if told.get("id") == self._number:
                assert "error" not in told, f"{method}: {told['error']}"
                return told["result"]

    def _hear(self) -> Any:
        while b"\0" not in self._rest:
            ready, _, _ = select.select([self._back], [], [], PATIENCE)
            piece = os.read(self._back, 1 << 20) if ready else b""
            assert piece, f"the browser says nothing: {self._process.poll()}"
            self._rest += piece
        said, _, self._rest = self._rest.partition(b"\0")
        return json.loads(said)


@contextmanager
def running(home: Path) -> Iterator[Chromium]:
    """A browser that keeps what it writes in `home`. It asks a proxy for everything, and there is none."""
    assert PROGRAM
    theirs_in, to = os.pipe()
    back, theirs_out = os.pipe()

    def as_3_and_4() -> None:
        """Where the browser reads what it is told, and writes what it says."""
        high = [fcntl.fcntl(each, fcntl.F_DUPFD, 10) for each in (theirs_in, theirs_out)]
        for number, each in enumerate(high, 3):
            os.dup2(each, number)

    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"]
    flags += ["--disable-background-networking", "--disable-component-update", "--hide-scrollbars"]
    flags += [
        f"--proxy-server=http://{NOBODY}",
        "--proxy-bypass-list=<-loopback>",
        "--remote-debugging-pipe",
        f"--user-data-dir={home / 'profile'}",
    ]
    with open(home / "chromium.log", "wb") as log:
        process = subprocess.Popen(
            [PROGRAM, *flags],
            preexec_fn=as_3_and_4,
            pass_fds=(3, 4),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env={**os.environ, "HOME": str(home)},
        )
    os.close(theirs_in)
    os.close(theirs_out)
    try:
        yield Chromium(process, to, back)
    finally:
        os.close(to)
        os.close(back)
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
