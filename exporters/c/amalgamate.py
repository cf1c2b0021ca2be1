"""The C core as one header and one source file, from the files that the Python runtime is built of."""

from __future__ import annotations

import re
from pathlib import Path

import sparsedevice.runtime
from sparsedevice import __version__

CORE = Path(sparsedevice.runtime.__file__).parent / "csrc"
HEADER_NAME, SOURCE_NAME = "sparsedevice.h", "sparsedevice.c"
#: Bindings and kernels that other targets build by themselves.
_LEFT_OUT = ("sd_python.c", "sd_wasm.c")
#: Raises the instruction set for all code after it, so it comes last.
_LAST = ("sd_neon_dot.c",)

_HEAD = """\
/* sparsedevice {version}, {what}. Made from the files of the project's sparsedevice/runtime/csrc.
 * SPDX-License-Identifier: Apache-2.0
 *
 * Build with -std=c11 -O3 -ffp-contract=off: with fused multiply-adds, scores can differ in their last
 * bit from those of other machines.
 */
"""
# clang before 16 declares the dot-product intrinsics only where the first inclusion finds them enabled.
_NEON = """
#if defined(__clang__) && defined(__aarch64__) && !defined(__ARM_FEATURE_DOTPROD)
#define __ARM_FEATURE_DOTPROD 1
#include <arm_neon.h>
#undef __ARM_FEATURE_DOTPROD
#endif
"""
_INCLUDE = re.compile(r'^#include "(sd_\w+\.(?:h|inc))"$')
_DEFINED = re.compile(r"^(?:static|SD_INLINE)\b[^;=]*?\b(\w+)\(|^\} (\w+);|^typedef struct (\w+) \{", re.M)


def amalgamate() -> tuple[str, str]:
    """The header and the source."""
    header = _HEAD.format(version=__version__, what="the interface") + _read("sd_core.h")
    names = sorted(path.name for path in CORE.glob("*.c") if path.name not in _LEFT_OUT)
    ordered = [*(name for name in names if name not in _LAST), *(name for name in names if name in _LAST)]
    seen = {"sd_core.h"}
    parts = [_HEAD.format(version=__version__, what="the core"), f'#include "{HEADER_NAME}"\n', _NEON]
    for name in ordered:
        parts.append(f"\n/* ---- {name} ---- */\n{_inlined(name, seen, again=name in _LAST)}")
    return header, "".join(parts)


def _read(name: str) -> str:
    return (CORE / name).read_text(encoding="utf-8")


def _inlined(name: str, seen: set[str], *, again: bool) -> str:
    """A file with its own project's headers in place of their includes, each once.

    With ``again`` a header that came before comes once more, its names and guard renamed: the kernel for
    dot-product instructions is a second build of the same loop.
    """
    lines = []
    for line in _read(name).splitlines(keepends=True):
        found = _INCLUDE.match(line.strip())
        if not found:
            lines.append(line)
            continue
        included = found[1]
        if included not in seen:
            seen.add(included)
            lines.append(_inlined(included, seen, again=False))
        elif again and not included.startswith(("sd_core", "sd_internal")):
            lines.append(_renamed(included, seen))
    return "".join(lines)


def _renamed(name: str, seen: set[str]) -> str:
    text = _inlined(name, seen, again=False)
    own = sorted({next(filter(None, found)) for found in _DEFINED.findall(text)})
    guard = re.search(r"^#ifndef (\w+_H)$", text, re.M)
    assert guard is not None, f"{name} has no include guard"
    # The new names stay to the end of the source, for the code after the header that uses them.
    return f"#undef {guard[1]}\n" + "".join(f"#define {word} {word}_dot\n" for word in own) + text
