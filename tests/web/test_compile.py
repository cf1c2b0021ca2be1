"""The compiled core: size, what it needs from outside, and what is said where no compiler is."""

from __future__ import annotations

import importlib.util
import shutil
import sys

import pytest

from sparsedevice.errors import MissingExtraError, SparseDeviceError
from sparsedevice.exporters.web import compile as web_compile

MOST_BYTES = 32 * 1024


def clang():
    if not (shutil.which("clang") and shutil.which("wasm-ld")):
        pytest.skip("needs clang and wasm-ld")
    return web_compile.find_tools()


def zig(monkeypatch):
    if importlib.util.find_spec("ziglang") is None:
        pytest.skip("needs the extra web")
    monkeypatch.setattr(web_compile.shutil, "which", lambda _: None)
    return web_compile.find_tools()


@pytest.mark.parametrize("tools", ["clang", "zig"])
def test_modules_are_small_and_stand_alone(tools, monkeypatch, tmp_path):
    compiler, _ = clang() if tools == "clang" else zig(monkeypatch)
    assert ("ziglang" in compiler) == (tools == "zig")
    for name in web_compile.compile_modules(tmp_path):
        module = (tmp_path / name).read_bytes()
        assert module[:8] == b"\0asm\1\0\0\0"
        assert len(module) <= MOST_BYTES
        kinds = section_kinds(module)
        assert 2 not in kinds, "imports nothing"
        assert 7 in kinds, "exports functions"
        assert b"__heap_base" in module


def section_kinds(module):
    """Kinds of the sections of a WebAssembly module."""
    kinds, at = [], 8
    while at < len(module):
        kinds.append(module[at])
        at += 1
        size = shift = 0
        while True:
            byte = module[at]
            at += 1
            size |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                break
        at += size
    return kinds


def test_without_a_compiler_one_sentence_names_what_to_install(monkeypatch):
    monkeypatch.setattr(web_compile.shutil, "which", lambda _: None)
    monkeypatch.setattr(web_compile.importlib.util, "find_spec", lambda _: None)
    with pytest.raises(MissingExtraError, match=r"pip install 'sparsedevice\[web\]'.*apt install clang lld"):
        web_compile.find_tools()


def test_a_failing_compiler_is_quoted(monkeypatch, tmp_path):
    failing = [sys.executable, "-c", "import sys; sys.exit('no such target')"]
    monkeypatch.setattr(web_compile, "find_tools", lambda: (failing, failing))
    with pytest.raises(
        SparseDeviceError, match="could not compile the C core to WebAssembly: no such target"
    ):
        web_compile.compile_modules(tmp_path)
