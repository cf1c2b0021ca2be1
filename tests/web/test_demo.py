"""Serving a bundle: these files, to this computer, and nothing else."""

from __future__ import annotations

import http.client
import socket
import threading

import pytest

from sparsedevice.demo import demo, make_server
from sparsedevice.errors import BundleError, ConfigError
from sparsedevice.exporters import export
from sparsedevice.training import train


@pytest.fixture(scope="module")
def address(bundle, serving):
    with serving(bundle) as url:
        yield url.removeprefix("http://").rstrip("/")


def ask(address, path, method="GET", host=None):
    connection = http.client.HTTPConnection(address, timeout=20)
    connection.request(method, path, headers={"Host": host or address})
    response = connection.getresponse()
    return response, response.read()


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/", "text/html; charset=utf-8"),
        ("/index.html?x=1", "text/html; charset=utf-8"),
        ("/sparsedevice.js", "text/javascript; charset=utf-8"),
        ("/sparsedevice-simd.wasm", "application/wasm"),
        ("/model.sd", "application/octet-stream"),
    ],
)
def test_files(path, kind, address, bundle):
    response, body = ask(address, path)
    assert response.status == 200
    assert response.headers["Content-Type"] == kind
    assert response.headers["Cross-Origin-Opener-Policy"] == "same-origin"
    name = path.partition("?")[0].lstrip("/") or "index.html"
    assert body == (bundle / name).read_bytes()
    head, nothing = ask(address, path, "HEAD")
    assert (head.headers["Content-Length"], nothing) == (str(len(body)), b"")


@pytest.mark.parametrize("path", ["/manifest.json", "/../run/config.json", "/%2e%2e/run/config.json", "/x"])
def test_other_paths_are_not_there(path, address):
    assert ask(address, path)[0].status == 404


def test_names_of_other_hosts_are_refused(address):
    assert ask(address, "/", host="evil.example:80")[0].status == 403
    assert ask(address, "/", host=f"localhost:{address.rpartition(':')[2]}")[0].status == 200
    assert ask(address, "/", method="POST")[0].status == 501


def test_only_this_computer(bundle):
    with make_server(bundle, port=0) as server:
        assert server.server_address[0] == "127.0.0.1"


def test_bundles_without_a_page_are_refused(tmp_path):
    run = train("synthetic:users=40,items=30", tmp_path / "run", epochs=1, threads=1)
    export(run, "packed", tmp_path / "packed")
    with pytest.raises(BundleError, match="has no page; make one with: sparsedevice export RUN --target web"):
        make_server(tmp_path / "packed")
    with pytest.raises(BundleError, match="there is no bundle"):
        make_server(tmp_path / "nothing")


def test_ports(bundle):
    with pytest.raises(ConfigError, match="port is 70000"):
        make_server(bundle, port=70000)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(ConfigError, match="choose another --port"):
            make_server(bundle, port=taken.getsockname()[1])


def test_demo_opens_the_browser(bundle, monkeypatch):
    opened, ready = [], threading.Event()
    servers = []

    def note_server(*arguments, **settings):
        servers.append(make_server(*arguments, **settings))
        return servers[0]

    def open_(url):
        opened.append(url)
        ready.set()

    monkeypatch.setattr("sparsedevice.demo.make_server", note_server)
    monkeypatch.setattr("webbrowser.open", open_)
    said = []
    running = threading.Thread(target=demo, args=(bundle,), kwargs={"port": 0, "on_ready": said.append})
    running.start()
    assert ready.wait(20)
    servers[0].shutdown()
    running.join(20)
    assert opened == said == [f"http://127.0.0.1:{servers[0].server_port}/"]
