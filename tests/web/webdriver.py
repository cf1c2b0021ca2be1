"""Chromium without a window, through chromedriver and its HTTP protocol (W3C WebDriver)."""

from __future__ import annotations

import base64
import json
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

_ELEMENT = "element-6066-11e4-a52e-4f735466cecf"
_KEYS = {"Enter": "\ue007", "Escape": "\ue00c", "ArrowDown": "\ue015", "ArrowUp": "\ue013", "Tab": "\ue004"}


def find_browser() -> tuple[str, str] | None:
    """Paths of Chromium (or Chrome) and chromedriver, where both are installed."""
    names = ("chromium", "chromium-browser", "google-chrome")
    browser = next(filter(None, map(shutil.which, names)), None)
    driver = shutil.which("chromedriver")
    return (browser, driver) if browser and driver else None


class Browser:
    """One window of one fresh profile."""

    def __init__(self, browser: str, driver: str) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self._driver = subprocess.Popen([driver, f"--port={port}", "--silent"], stdout=subprocess.DEVNULL)
        self._url = f"http://127.0.0.1:{port}"
        arguments = ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
        options = {"binary": browser, "args": [*arguments, "--force-prefers-reduced-motion"]}
        wanted = {"alwaysMatch": {"goog:chromeOptions": options, "goog:loggingPrefs": {"browser": "ALL"}}}
        try:
            self._await_driver()
            self._url += f"/session/{self._call('POST', '/session', {'capabilities': wanted})['sessionId']}"
            self._call("POST", "/timeouts", {"script": 300_000})
        except BaseException:
            self._driver.kill()
            raise

    def close(self) -> None:
        try:
            self._call("DELETE", "")
        finally:
            self._driver.terminate()
            self._driver.wait(timeout=30)

    def get(self, url: str) -> None:
        self._call("POST", "/url", {"url": url})

    def run(self, script: str, *arguments: Any) -> Any:
        """Value of ``script``, the body of a function; a promise is waited for."""
        return self._call("POST", "/execute/sync", {"script": script, "args": arguments})

    def wait(self, expression: str, seconds: float = 20) -> Any:
        """Wait until a JavaScript expression is true, and return it."""
        end = time.monotonic() + seconds
        while not (value := self.run(f"return {expression}")):
            if time.monotonic() > end:
                raise AssertionError(f"waited {seconds} s in vain for: {expression}")
            time.sleep(0.05)
        return value

    def keys(self, *keys: str) -> None:
        """Type text, or press a key by its name, where the focus is."""
        text = "".join(_KEYS.get(key, key) for key in keys)
        element = self._call("GET", "/element/active")[_ELEMENT]
        self._call("POST", f"/element/{element}/value", {"text": text})

    def click(self, selector: str) -> None:
        found = self._call("POST", "/element", {"using": "css selector", "value": selector})
        self._call("POST", f"/element/{found[_ELEMENT]}/click", {})

    def devtools(self, command: str, **parameters: Any) -> Any:
        return self._call("POST", "/goog/cdp/execute", {"cmd": command, "params": parameters})

    def collect_garbage(self) -> None:
        """Free what no page holds any more, memories of WebAssembly above all."""
        self.devtools("HeapProfiler.collectGarbage")

    def look(self, *, width: int, height: int, dark: bool = False) -> None:
        """Take the size and colours of a screen."""
        mobile = width < 600
        self.devtools(
            "Emulation.setDeviceMetricsOverride",
            width=width, height=height, deviceScaleFactor=1, mobile=mobile,
        )  # fmt: skip
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        still = {"name": "prefers-reduced-motion", "value": "reduce"}
        self.devtools("Emulation.setEmulatedMedia", features=[scheme, still])

    def screenshot(self, path: Path) -> None:
        path.write_bytes(base64.b64decode(self._call("GET", "/screenshot")))

    def errors(self) -> list[str]:
        """What the console has shown as errors since the last call."""
        entries = self._call("POST", "/se/log", {"type": "browser"})
        return [entry["message"] for entry in entries if entry["level"] == "SEVERE"]

    def _await_driver(self) -> None:
        end = time.monotonic() + 20
        while True:
            try:
                self._call("GET", "/status")
                return
            except urllib.error.URLError:
                if time.monotonic() > end:
                    raise
                time.sleep(0.05)

    def _call(self, method: str, path: str, body: Any = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self._url + path, data=data, method=method)
        try:
            with urllib.request.urlopen(request, timeout=330) as response:
                return json.load(response)["value"]
        except urllib.error.HTTPError as error:
            value = json.load(error)["value"]
            raise RuntimeError(f"{value['error']}: {value['message']}") from None
