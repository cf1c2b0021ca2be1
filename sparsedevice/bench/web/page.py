"""A browser without a window that runs the bench page and sends its events back."""

from __future__ import annotations

import json
import os
import queue
import secrets
import shutil
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from sparsedevice.errors import TargetError

HOST = "127.0.0.1"
NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
#: A browser to use instead of the one that is looked for.
BROWSER_VARIABLE = "SPARSEDEVICE_BROWSER"
#: Silence longer than this means that the page is dead; a phase is never this long without a sample.
SILENT_SECONDS = 120.0
#: No window, no first-run pages, no calls to anybody.
_FLAGS = (
    "--headless",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--remote-debugging-port=0",  # keeps it running once the page is loaded
)
_TYPES = {".html": "text/html", ".js": "text/javascript", ".mjs": "text/javascript"} | {
    ".json": "application/json",
    ".wasm": "application/wasm",
}
PAGE = b"""<!doctype html><meta charset="utf-8"><title>bench</title><link rel="icon" href="data:,">
<script type="module">import { runInPage } from "./bench.mjs"; runInPage();</script>
"""


def find_browser() -> str:
    """The browser's program.

    Raises:
        TargetError: naming what to install.
    """
    for name in (os.environ.get(BROWSER_VARIABLE, ""), *NAMES):
        found = shutil.which(name) if name else None
        if found:
            return found
    raise TargetError(
        "target browser needs Chromium or Chrome (Debian and Ubuntu: apt install chromium);"
        f" install it, or name its program in {BROWSER_VARIABLE}"
    )


def browser_lines(browser: str, files: Mapping[str, bytes]) -> Iterator[str]:
    """The events, as JSON lines, that the bench page sends until its result; the browser ends with them.

    Args:
        browser: the program.
        files: what the page may fetch, by name.

    Raises:
        TargetError: if the browser does not start, ends, or falls silent.
    """
    events: queue.Queue[str] = queue.Queue()
    with _serve({**files, "": PAGE}, events) as url, tempfile.TemporaryDirectory() as profile:
        root = ["--no-sandbox"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []  # it refuses root
        command = [browser, *_FLAGS, *root, f"--user-data-dir={profile}", url]
        try:
            process = subprocess.Popen(
                command,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env={**os.environ, "TMPDIR": profile},  # what it leaves lying there goes with the rest
            )
        except OSError as error:
            raise TargetError(f"cannot run {browser}: {error.strerror}; install it") from error
        try:
            heard = time.monotonic()
            while True:
                try:
                    line = events.get(timeout=0.2)
                except queue.Empty:
                    if process.poll() is not None:
                        raise TargetError(
                            f"the browser ended with exit code {process.returncode}; does it start by hand?"
                        ) from None
                    if time.monotonic() - heard > SILENT_SECONDS:
                        raise TargetError(f"the page said nothing for {SILENT_SECONDS:g} s") from None
                    continue
                heard = time.monotonic()
                yield line
                if json.loads(line).get("event") in ("result", "error"):
                    return
        finally:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


@contextmanager
def _serve(files: Mapping[str, bytes], events: queue.Queue[str]) -> Iterator[str]:
    """Serve to this computer alone, below a path that no other page can guess."""
    secret = secrets.token_urlsafe(16)

    class Handler(BaseHTTPRequestHandler):
        """GET of the files, POST of events."""

        def do_GET(self) -> None:
            start, _, name = self.path.rpartition("/")
            body = files.get(name) if start == f"/{secret}" else None
            if body is None:
                self.send_error(HTTPStatus.NOT_FOUND)
                return
            self._answer(_TYPES.get(Path(name or "index.html").suffix, "application/octet-stream"), body)

        def do_POST(self) -> None:
            if self.path != f"/{secret}/events":
                self.send_error(HTTPStatus.NOT_FOUND)
                return
            # One line an event, whatever the page's own spacing is.
            event = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            events.put(json.dumps(event))
            self._answer("text/plain", b"")

        def log_message(self, *_: object) -> None:
            """Stay silent."""

        def _answer(self, kind: str, body: bytes) -> None:
            self.send_response(HTTPStatus.OK)
            # An isolated page has a clock of 5 instead of 100 microseconds.
            self.send_header("Cross-Origin-Opener-Policy", "same-origin")
            self.send_header("Cross-Origin-Embedder-Policy", "require-corp")
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    with ThreadingHTTPServer((HOST, 0), Handler) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield f"http://{HOST}:{server.server_port}/{secret}/"
        finally:
            server.shutdown()
            thread.join()
