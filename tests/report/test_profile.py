"""Where bytes and time go."""

from __future__ import annotations

import html
import json

import numpy as np
import pytest

from sparsedevice.cli import main
from sparsedevice.exporters import export
from sparsedevice.packing import PackedFile
from sparsedevice.packing.format import Kind
from sparsedevice.profile import profile, render_profile
from tests.exporters.tiny import tiny_run
from tests.packing.small import write_small


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    return export(tiny_run(), "packed", tmp_path_factory.mktemp("profiled") / "bundle", users=True, k=5)


def test_every_byte_is_somewhere(bundle):
    found = profile(bundle.path, seconds=0.02, k=3)
    sizes = found["bytes"]
    assert sizes["total"] == sum(bundle.file_bytes.values())
    held = sum(sum(sections.values()) for sections in sizes["groups"].values())
    assert held + sizes["framing"] == bundle.file_bytes["model.sd"]
    assert set(sizes["groups"]) >= {"items", "users", "seen lists", "item ids", "user ids", "metadata"}
    assert all(name.startswith("item id") for name in sizes["groups"]["item ids"])
    assert all(not name.startswith("item id") for name in sizes["groups"]["items"])


def test_the_table_is_the_run_s(bundle):
    run = tiny_run()
    table = profile(bundle.path / "model.sd")["table"]
    lengths = np.diff(run.items.indptr)
    assert table["nnz"] == run.items.nnz == sum(table["entries_by_column"])
    assert table["entries_per_row"]["max"] == lengths.max()
    assert table["entries_per_row"]["mean"] == pytest.approx(lengths.mean())
    assert table["rows_by_entries"] == np.bincount(lengths).tolist()
    assert 0 <= table["column_entropy_bits"] <= np.log2(run.items.shape[1])
    assert 0 <= table["value_entropy_bits"] <= 8


@pytest.mark.parametrize("layout", ["sliced", "wide", "csr"])
def test_padding_is_what_is_stored_and_no_entry(layout, tmp_path):
    path = tmp_path / "model.sd"
    write_small(path, values="int8", layout=layout)
    packed = PackedFile.open(path)
    padding = profile(path)["table"]["padding_entries"]
    assert padding == packed.sections[Kind.ITEM_VALUES].length - packed.nnz
    assert (padding > 0) == (layout != "csr")


def test_parts_of_the_time_and_their_picture(bundle, capsys, tmp_path):
    page = tmp_path / "profile.html"
    with pytest.raises(SystemExit) as stop:
        main(["profile", str(bundle.path), "--seconds", "0.02", "--output", "json", "--out", str(page)])
    assert stop.value.code == 0
    found = json.loads(capsys.readouterr().out)
    assert found["time"]["end_to_end_us"] > 0
    assert all(us >= 0 for us in found["time"]["parts"].values())
    text = render_profile(found)
    for name in (*found["bytes"]["groups"], *found["time"]["parts"], *found["bytes"]["files"]):
        assert name in text
    drawn = page.read_text(encoding="utf-8")
    assert drawn.count("<svg") == 2
    for name in (
        "Where the bytes go",
        "Where the time goes",
        *found["bytes"]["groups"],
        *found["time"]["parts"],
    ):
        assert name in html.unescape(drawn)
    again = tmp_path / "saved.json"
    again.write_text(json.dumps(found))
    main_printed(["report", str(again)])
    printed = capsys.readouterr().out
    assert "Where the time goes" in printed
    assert "choose the best" in printed


def main_printed(arguments):
    with pytest.raises(SystemExit) as stop:
        main(arguments)
    assert stop.value.code == 0


def test_a_packed_file_alone_has_no_times(bundle):
    found = profile(bundle.path / "model.sd")
    assert found["time"] is None
    assert "a query" not in render_profile(found)
