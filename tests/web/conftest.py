"""The web target's files, made once for all tests; tests skip where a tool is missing."""

from __future__ import annotations

import shutil
import subprocess
import threading
from contextlib import contextmanager

import pytest

from sparsedevice.demo import make_server
from sparsedevice.errors import MissingExtraError
from sparsedevice.exporters import export
from sparsedevice.exporters.web import write_assets
from sparsedevice.exporters.web.compile import find_tools
from sparsedevice.training import train
from tests.web.webdriver import Browser, find_browser


def need_compiler():
    try:
        find_tools()
    except MissingExtraError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def assets(tmp_path_factory):
    """A folder with the module and both builds of the core."""
    need_compiler()
    folder = tmp_path_factory.mktemp("web-assets")
    write_assets(folder)
    return folder


@pytest.fixture(scope="session")
def bundle(tmp_path_factory):
    """A bundle of a small trained world with titles."""
    need_compiler()
    folder = tmp_path_factory.mktemp("web-bundle")
    run = train("synthetic:users=400,items=300", folder / "run", epochs=4, threads=1)
    return export(run, "web", folder / "bundle").path


@pytest.fixture(scope="session")
def node():
    if shutil.which("node") is None:
        pytest.skip("needs Node 18 or newer")
    version = subprocess.run(["node", "--version"], capture_output=True, text=True, check=True).stdout
    if int(version.lstrip("v").split(".")[0]) < 18:
        pytest.skip(f"needs Node 18 or newer, not {version.strip()}")


@pytest.fixture(scope="module")
def browser():
    found = find_browser()
    if found is None:
        pytest.skip("needs chromium and chromedriver")
    window = Browser(*found)
    yield window
    window.close()


@contextmanager
def _serving(folder):
    with make_server(folder, port=0) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/"
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture(scope="session")
def serving():
    """Serve a bundle: ``with serving(folder) as address``."""
    return _serving
