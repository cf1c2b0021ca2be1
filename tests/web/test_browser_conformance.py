"""The ES module in Chromium, with and without SIMD, against the conformance suite of all backends."""

from __future__ import annotations

import shutil
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import pytest

from tests.runtime.conformance import CHECKS, Subject
from tests.web.module_recommender import DRIVER, ModuleRecommender

START = """
const { makeHandler } = await import(arguments[0] + "driver.mjs");
window.handle = await makeHandler(arguments[0] + "sparsedevice.js");
"""


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def served(assets, tmp_path_factory):
    """A folder of its own with the module and the driver, and its address."""
    folder = tmp_path_factory.mktemp("served") / "web"
    shutil.copytree(assets, folder)
    shutil.copy(DRIVER, folder)
    (folder / "blank.html").write_text('<!doctype html><link rel="icon" href="data:,">', encoding="utf-8")
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=folder)) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield folder, f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


@pytest.mark.parametrize("simd", [False, True], ids=["scalar", "simd"])
@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_browser(check, simd, served, browser, tmp_path):
    folder, url = served
    browser.get(f"{url}blank.html")
    browser.run(f"return (async (...arguments) => {{ {START} }})(...arguments)", url)
    opened, live = [], []

    def send(message):
        return browser.run("return window.handle(arguments[0])", message)

    def open_(path):
        # A check asks one recommender after the other. The browser runs out of addresses long before it runs
        # out of memory: what it reserves for a module is freed by nothing but a collection of garbage.
        while live:
            live.pop().close()
        if len(opened) % 16 == 0:
            browser.collect_garbage()
        name = f"{path.parent.name}-{len(opened)}.sd"
        opened.append(name)
        shutil.copy(path, folder / name)
        recommender = ModuleRecommender(send, f"{url}{name}", simd=simd)
        live.append(recommender)
        assert recommender.info["kernel"] == ("wasm-simd" if simd else "scalar")
        return recommender

    try:
        check(Subject(open_, tmp_path))
    finally:
        for name in opened:
            (folder / name).unlink()
    assert not browser.errors()
