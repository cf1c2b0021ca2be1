"""The modelled caches: what a known program must miss."""

from __future__ import annotations

import shutil

import pytest

from sparsedevice.bench.machines.cache_model import Caches, cache_misses, misses_between
from sparsedevice.bench.native.build import compile_once, find_compiler
from sparsedevice.errors import TargetError

LINES = 1024
#: Reads every line of an array of 64 KiB, argv[1] times over.
PROGRAM = """
static char array[64 * 1024] __attribute__((aligned(64)));
__attribute__((noinline)) int scan(volatile char *at) {
    int sum = 0;
    for (int i = 0; i < 64 * 1024; i += 64)
        sum += at[i];
    return sum;
}
int main(int argc, char **argv) {
    int sum = argc;
    for (int n = argv[1][0] - '0'; n > 0; n--)
        sum += scan(array);
    return sum & 0;
}
"""


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    if shutil.which("qemu-aarch64") is None:
        pytest.skip("needs qemu-user")
    try:
        compiler = find_compiler("aarch64")
    except TargetError as error:
        pytest.skip(str(error))
    source = tmp_path_factory.mktemp("scan") / "scan.c"
    source.write_text(PROGRAM)
    return str(compile_once("scan-aarch64", compiler, ["-O1", "-static", str(source)], [source]))


CORES = {
    "small": Caches(32, 4, 48, 4),  # the array is larger than either: each scan misses all of it
    "middle": Caches(32, 4, 128, 4),  # the second level holds it
    "large": Caches(128, 4, 256, 4),  # the first holds it
    "one-way": Caches(64, 1, 128, 1),  # nearly: the stack and the array share a few sets
}


def test_a_scan_misses_what_does_not_fit(program):
    found = cache_misses([program, "3"], CORES)
    scans = {core: functions["scan"] for core, functions in found.items()}
    assert {scan.accesses for scan in scans.values()} == {3 * LINES}
    assert (scans["small"].l1, scans["small"].l2) == (3 * LINES, 3 * LINES)
    assert (scans["middle"].l1, scans["middle"].l2) == (3 * LINES, LINES)
    assert (scans["large"].l1, scans["large"].l2) == (LINES, LINES)
    assert LINES <= scans["one-way"].l1 <= LINES + 64


def test_a_steady_state_is_the_difference_of_two_runs(program):
    found = misses_between([program, "1"], [program, "5"], 4, CORES)
    # The start of the program is in both runs; the counter and the stack may miss a line or two.
    assert found["small"]["l2_misses"] == pytest.approx(LINES, abs=2)
    assert found["middle"]["l1_misses"] == pytest.approx(LINES, abs=2)
    assert found["middle"]["l2_misses"] == pytest.approx(0, abs=2)
    assert found["large"]["l1_misses"] == pytest.approx(0, abs=2)


def test_a_cache_without_a_set_is_refused(program):
    with pytest.raises(TargetError):
        cache_misses([program, "1"], {"none": Caches(1, 64, 1, 1)})
