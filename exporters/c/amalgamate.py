"""The C core as one header and one source file, from the files that the Python runtime is built of."""

from __future__ import annotations

import re
from pathlib import Path

import sparsedevice.runtime
from sparsedevice import __version__

CORE = Path(sparsedevice.runtime.__file__).parent / "csrc"
HEADER_NAME, SOURCE_NAME = "sparsedevice.h", "sparsedevice.c"
INTERNAL_NAME = "sd_internal.h"
#: Files of the core for every machine that has a C library's headers; the last one raises the instruction set
#: for all code after it.
FILES = (
    "sd_core.c",
    "sd_crc32.c",
    "sd_fold.c",
    "sd_query.c",
    "sd_scan.c",
    "sd_select.c",
    "sd_text.c",
    "sd_topk.c",
    "sd_verify.c",
    "sd_verify_strings.c",
    "sd_avx2.c",
    "sd_x86.c",
    "sd_neon.c",
    "sd_neon_dot.c",
)

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
# SD_LOOK_UP(name, ...) defines a function, too.
_DEFINED = re.compile(
    r"^(?:static|SD_INLINE)\b[^;=]*?\b(\w+)\(|^\} (\w+);|^typedef struct (\w+) \{|^SD_LOOK_UP\((\w+),", re.M
)


def amalgamate() -> tuple[str, str]:
    """The header and the source."""
    header = _HEAD.format(version=__version__, what="the interface") + _read("sd_core.h")
    seen = {"sd_core.h"}
    parts = [_HEAD.format(version=__version__, what="the core"), f'#include "{HEADER_NAME}"\n', _NEON]
    taken: set[str] = set()
    for name in FILES:
        own = set(_local_names(_read(name)))
        clashes = sorted(own & taken)
        taken |= own
        stem = name.removesuffix(".c").removeprefix("sd_")
        parts.append(f"\n/* ---- {name} ---- */\n")
        parts += [f"#define {word} {word}_{stem}\n" for word in clashes]
        parts.append(_inlined(name, seen, again=name == FILES[-1]))
        parts += [f"#undef {word}\n" for word in clashes]
    return header, "".join(parts)


def internal_header() -> str:
    """The core's own header over the public one, for ``sd-bench``, which times parts of a query."""
    text = _HEAD.format(version=__version__, what="what is inside, for sd-bench; not for apps")
    return text + _read(INTERNAL_NAME).replace('#include "sd_core.h"', f'#include "{HEADER_NAME}"')


def _local_names(text: str) -> list[str]:
    """Functions and types that a file keeps to itself."""
    return [next(filter(None, found)) for found in _DEFINED.findall(text)]


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
    own = sorted(set(_local_names(text)))
    guard = re.search(r"^#ifndef (\w+_H)$", text, re.M)
    assert guard is not None, f"{name} has no include guard"
    # The new names stay to the end of the source, for the code after the header that uses them.
    return f"#undef {guard[1]}\n" + "".join(f"#define {word} {word}_dot\n" for word in own) + text
