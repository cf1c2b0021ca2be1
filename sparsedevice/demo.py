"""Serving a web bundle's page on this computer, and nobody else's."""

from __future__ import annotations

import contextlib
import webbrowser
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

from sparsedevice.errors import BundleError, ConfigError
from sparsedevice.exporters import Bundle

HOST = "127.0.0.1"
DEFAULT_PORT = 8765
#: What a page looks for where it has kept an older model.
UPDATE_NAME = "update.sdd"
_HOST_NAMES = (HOST, "localhost")
_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".md": "text/markdown; charset=utf-8",
    ".svg": "image/svg+xml",
    ".wasm": "application/wasm",
    ".webmanifest": "application/manifest+json",
}
_HEADERS = {
    # Pages that are isolated like this get a clock of 5 instead of 100 microseconds.
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Embedder-Policy": "require-corp",
    "Cache-Control": "no-cache",
    "X-Content-Type-Options": "nosniff",
}


def demo(
    bundle: str | Path,
    *,
    port: int = DEFAULT_PORT,
    open_browser: bool = True,
    on_ready: Callable[[str], None] | None = None,
) -> None:
    """Serve the page of a web bundle on this computer until interrupted.

    Args:
        bundle: a bundle of target ``web``.
        port: 1 to 65535, or 0 for any that is free.
        open_browser: show the page in the default browser.
        on_ready: called with the page's address once it is served.

    Raises:
        BundleError: if there is no web bundle, or one of its files was changed.
        ConfigError: if the port is out of range or in use.
    """
    with make_server(bundle, port=port) as server:
        url = f"http://{HOST}:{server.server_port}/"
        if on_ready is not None:
            on_ready(url)
        if open_browser:
            webbrowser.open(url)
        with contextlib.suppress(KeyboardInterrupt):
            server.serve_forever()


def make_server(bundle: str | Path, *, port: int = DEFAULT_PORT) -> ThreadingHTTPServer:
    """A server of the files that a web bundle's manifest names, bound to this computer alone.

    Raises:
        BundleError: if there is no web bundle, or one of its files was changed.
        ConfigError: if the port is out of range or in use.
    """
    loaded = Bundle.load(bundle)
    if "index.html" not in loaded.file_bytes:
        raise BundleError(
            f"{bundle} is a bundle for target {loaded.target.name!r}, which has no page;"
            " make one with: sparsedevice export RUN --target web"
        )
    if not 0 <= port <= 65535:
        raise ConfigError(f"port is {port}; give 0 to 65535")
    # A delta that the user has put beside belongs to no export.
    files = {f"/{name}": loaded.path / name for name in (*loaded.file_bytes, UPDATE_NAME)}
    handler = type("BundleHandler", (_Handler,), {"files": {**files, "/": files["/index.html"]}})
    try:
        return ThreadingHTTPServer((HOST, port), handler)
    except OSError as error:
        raise ConfigError(
            f"port {port} cannot be served ({error.strerror}); choose another --port, or 0 for any"
        ) from error


class _Handler(BaseHTTPRequestHandler):
    """GET and HEAD of a fixed set of files; everything else is not there."""

    files: dict[str, Path]

    def do_GET(self) -> None:
        """Answer with a file."""
        self._answer(with_body=True)

    def do_HEAD(self) -> None:
        """Answer with a file's headers."""
        self._answer(with_body=False)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (the name is http.server's)
        """Stay silent."""

    def _answer(self, *, with_body: bool) -> None:
        # A page elsewhere can point a name of its own at this computer; it comes with that name.
        if (self.headers.get("Host") or "").rsplit(":", 1)[0] not in _HOST_NAMES:
            self.send_error(HTTPStatus.FORBIDDEN)
            return
        file = self.files.get(unquote(urlsplit(self.path).path))
        if file is None or not file.is_file():
            self.send_error(HTTPStatus.NOT_FOUND)
            return
        body = file.read_bytes()
        self.send_response(HTTPStatus.OK)
        for name, value in _HEADERS.items():
            self.send_header(name, value)
        self.send_header("Content-Type", _TYPES.get(file.suffix, "application/octet-stream"))
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if with_body:
            self.wfile.write(body)
