"""The demo app's own classes on a JVM, its benchmark, the exported project and the APK."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from types import ModuleType
from xml.etree import ElementTree

import numpy as np
import pytest

from sparsedevice.bench import bench, render_markdown
from sparsedevice.errors import ConfigError
from sparsedevice.exporters import TARGETS, export
from sparsedevice.exporters.android import project_files, project_folder, render
from sparsedevice.exporters.android.project import ASSETS, PROJECT, write, write_compact
from sparsedevice.packing import PackedFile, compact, diff, expand
from sparsedevice.packing.format import Kind, decode_head
from sparsedevice.runtime.reference import NumpyRecommender
from sparsedevice.training import train
from tests.android.jvm import HARNESS, ROOT, Jvm, JvmRecommender, need_jdk, run
from tests.exporters.tiny import tiny_run
from tests.packing.small import patched, write_small

APP = ROOT / "android_demo" / "app" / "src" / "main"


@pytest.fixture
def project(tmp_path) -> Path:
    write_small(tmp_path / "model.sd")
    write(PackedFile.open(tmp_path / "model.sd"), tmp_path)
    return tmp_path


def test_project_is_whole(project):
    for path in project_files(project_folder()):
        assert (project / PROJECT / path).read_bytes() == (project_folder() / path).read_bytes()
    assert (project / ASSETS / "model.sd").read_bytes() == (project / "model.sd").read_bytes()
    assert (project / PROJECT / "sparsedevice/src/main/cpp/core/sd_core.h").is_file()
    assert not list(project.rglob("sd_python*"))
    histories = (project / ASSETS / "queries.txt").read_text().splitlines()
    assert len(histories) == 256
    rows = np.array([int(row) for history in histories for row in history.split()])
    assert rows.min() >= 0
    assert rows.max() < PackedFile.open(project / "model.sd").n_items


def test_a_compact_project_has_the_compact_model_alone(tmp_path):
    write_small(tmp_path / "model.sd")
    names = write_compact(PackedFile.open(tmp_path / "model.sd"), tmp_path)
    assert {path.name for path in (tmp_path / ASSETS).iterdir()} == {"model.sdz", "queries.txt"}
    assert (ASSETS / "model.sdz").as_posix() in names
    expand(tmp_path / ASSETS / "model.sdz", tmp_path / "again.sd")
    assert (tmp_path / "again.sd").read_bytes() == (tmp_path / "model.sd").read_bytes()
    readme = render(PackedFile.open(tmp_path / "model.sd"), names, ["a"])
    assert 'open(context, "model.sdz")' in readme
    assert "noCompress 'sdz'" in readme
    assert f"put `{ASSETS.as_posix()}/model.sdz` into" in readme


def test_a_model_that_would_not_shrink_stays_as_it_is(tmp_path):
    write_small(tmp_path / "model.sd")
    data = (tmp_path / "model.sd").read_bytes()
    last = decode_head(memoryview(data))[1][Kind.ITEM_SCALES].length - 4
    # Another number where no row is, so that the rows alone do not give the file.
    (tmp_path / "model.sd").write_bytes(patched(data, Kind.ITEM_SCALES, last, np.float32(2).tobytes()))
    names = write_compact(PackedFile.open(tmp_path / "model.sd"), tmp_path)
    assert {path.name for path in (tmp_path / ASSETS).iterdir()} == {"model.sd", "queries.txt"}
    assert (ASSETS / "model.sd").as_posix() in names


def test_where_compact_models_are_refused(tmp_path):
    for target in TARGETS:
        if not target.compact_writer:
            with pytest.raises(ConfigError, match="leave it out, use --target 'android', or make"):
                export(tiny_run(), target.name, tmp_path / "b", compact=True)
    assert list(tmp_path.iterdir()) == []


def test_resources_are_named_in_the_code_and_the_other_way_round():
    """Each string is used; each has what TalkBack says; light and dark have the same colours."""

    def names(path: Path) -> set[str]:
        return {entry.get("name") or "" for entry in ElementTree.parse(path).getroot() if entry.get("name")}

    code = "".join(path.read_text(encoding="utf-8") for path in APP.rglob("*.java"))
    xml = "".join(path.read_text(encoding="utf-8") for path in APP.rglob("*.xml"))
    used = set(re.findall(r"R\.string\.(\w+)", code)) | set(re.findall(r"@string/(\w+)", xml))
    assert used == names(APP / "res/values/strings.xml")
    assert names(APP / "res/values/colors.xml") == names(APP / "res/values-night/colors.xml")
    sizes = re.findall(r'android:textSize="([^"]+)"|name="android:textSize">([^<]+)', xml)
    assert sizes
    assert all((a or b).endswith("sp") for a, b in sizes), "text grows with the user's setting"


def luminance(colour: str) -> float:
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("folder", ["values", "values-night"])
def test_text_stands_out(folder):
    """Contrast of at least 4.5, which accessibility scanners ask for."""
    colours = {
        entry.get("name"): entry.text or ""
        for entry in ElementTree.parse(APP / "res" / folder / "colors.xml").getroot()
    }
    for text, ground in (
        ("on_surface", "surface"),
        ("on_surface_variant", "surface"),
        ("on_surface_variant", "surface_container"),
        ("on_surface", "surface_container"),
        ("primary", "surface"),
        ("on_primary_container", "primary_container"),
    ):
        bright, dark = sorted((luminance(colours[text]), luminance(colours[ground])), reverse=True)
        assert (bright + 0.05) / (dark + 0.05) >= 4.5, (text, ground)


@pytest.fixture(scope="module")
def benched(tmp_path_factory) -> dict:
    """What ``sparsedevice bench`` writes of an Android bundle."""
    folder = tmp_path_factory.mktemp("benched")
    trained = train("synthetic:users=40,items=70", folder / "run", epochs=1, threads=1)
    return bench(export(trained, "android", folder / "bundle").path, repetitions=20, min_seconds=0.01)


@pytest.fixture(scope="module")
def app_classes(tmp_path_factory) -> Path:
    """The library, and those classes of the app that ask it, without the ones for screens."""
    need_jdk()
    sources = [
        *(ROOT / "android_demo/sparsedevice/src/main/java").rglob("*.java"),
        *(HARNESS / "android").rglob("*.java"),
        *(
            APP / "java/org/sparsedevice/demo" / f"{name}.java"
            for name in ("Benchmark", "Json", "ModelAsset")
        ),
        *(Path(__file__).parent / "app").glob("*.java"),
    ]
    classes = tmp_path_factory.mktemp("app") / "classes"
    run(["javac", "--release", "8", "-Xlint:-options", "-d", str(classes), *map(str, sources)])
    return classes


def test_the_app_opens_the_model_that_it_has(project, tmp_path, app_classes):
    compact(project / "model.sd", tmp_path / "model.sdz")
    (tmp_path / "files").mkdir()
    command = ["java", "-cp", str(app_classes), "org.sparsedevice.demo.OpenModel"]
    for asset, expanded in ((project / "model.sd", 0), (tmp_path / "model.sdz", 1)):
        said = run([*command, str(asset), str(tmp_path / "files")])
        assert int(said) == (project / "model.sd").stat().st_size
        assert len(list((tmp_path / "files").iterdir())) == expanded


def test_benchmark_of_the_app_writes_what_bench_writes(project, app_classes, benched):
    queries = project / ASSETS / "queries.txt"
    command = [
        "java",
        "-cp",
        str(app_classes),
        "org.sparsedevice.demo.RunBenchmark",
        str(project / "model.sd"),
    ]
    result = json.loads(run([*command, str(queries)]))
    assert result["backend"] == "java"
    assert result["file_bytes"] == (project / "model.sd").stat().st_size
    assert result["min_us"] <= result["p50_us"] <= result["p90_us"] <= result["p99_us"] <= result["max_us"]
    assert result["n"] >= 200
    # Each says why where there is no figure; a machine may have counters that an app cannot read.
    assert set(result) - {"memory_note", "energy_note"} == set(benched) - {"kernel", "energy_note"}
    assert result["energy_uj"] is None
    assert result["energy_note"]
    assert result["trace"] == benched["trace"]
    assert result["environment"]["cpu"] == "a test"
    assert f"{result['p50_us']:,.1f}" in render_markdown(result)


@pytest.fixture(scope="module")
def build_apk() -> Iterator[ModuleType]:
    """The script that builds the APK, as a module."""
    sys.path.insert(0, str(ROOT / "android_demo" / "tools"))
    try:
        yield import_module("build_apk")
    finally:
        sys.path.pop(0)


@pytest.fixture(scope="module")
def apk(build_apk, tmp_path_factory) -> Path:
    """A real APK with the small model in it."""
    jars = ROOT / "build" / "android" / "work" / "debian"
    if build_apk.missing() or not (jars.is_dir() or os.environ.get("DX_JAR")):
        pytest.skip(
            "aapt, apksigner, dx.jar and the like are not all here; .ci/tools brings them where it may"
        )
    folder = tmp_path_factory.mktemp("apk")
    write_small(folder / "model.sd")
    write(PackedFile.open(folder / "model.sd"), folder)
    work = folder / "work"
    work.mkdir()
    if jars.is_dir():
        shutil.copytree(jars, work / "debian", symlinks=True)
    command = [sys.executable, str(folder / PROJECT / "tools" / "build_apk.py"), "--work", str(work)]
    said = run([*command, "--out", str(folder / "demo.apk")])
    assert "signatures v1 v2 v3 verify" in said
    assert "native-code: 'arm64-v8a' 'armeabi-v7a' 'x86_64'" in said
    return folder / "demo.apk"


def test_apk_maps_its_model(apk, build_apk, jvm):
    """Model and libraries are stored, at the start of a page; the library opens the model inside the APK."""
    places = build_apk.offsets(apk)
    stored, start = places["assets/model.sd"]
    assert stored
    assert start % 4096 == 0
    libraries = [name for name in places if name.endswith(".so")]
    assert len(libraries) == 3
    assert all(places[name][0] and places[name][1] % 16384 == 0 for name in libraries)
    length = (apk.parent / "model.sd").stat().st_size
    place = {"asset": "model.sd", "start": start, "length": length}
    model = JvmRecommender(jvm, apk, "JAVA", **place)
    assert model.ask("about")["bytes"] == length


def test_apk_with_a_compact_model(apk, build_apk, jvm, tmp_path):
    """It is stored at the start of a page, too, and expanded out of the APK."""
    (tmp_path / "assets").mkdir()
    compact(apk.parent / "model.sd", tmp_path / "assets" / "model.sdz")
    work, other = apk.parent / "work", tmp_path / "compact.apk"
    build_apk.assemble(other, work / "resources.apk", work / "classes.dex", {}, tmp_path / "assets")
    stored, start = build_apk.offsets(other)["assets/model.sdz"]
    assert stored
    assert start % 4096 == 0
    length = (tmp_path / "assets" / "model.sdz").stat().st_size
    place = {"asset": "model.sdz", "serves": "model.sdz", "start": start, "length": length}
    JvmRecommender(jvm, other, "JAVA", files=str(tmp_path), **place)
    (expanded,) = tmp_path.glob("model.sdz-*.sd")
    assert expanded.read_bytes() == (apk.parent / "model.sd").read_bytes()


def test_classes_of_the_apk_recommend(apk, classes):
    """The classes in the APK, brought back from dex to the JVM's form, answer over fakes of Android's."""
    if not shutil.which("enjarify"):
        pytest.skip("enjarify is not installed")
    jar = apk.parent / "from-dex.jar"
    # Debian's script takes the first python3 on the PATH, and only the system's knows its modules.
    system = {**os.environ, "PATH": f"/usr/bin:{os.environ['PATH']}"}
    subprocess.run(["enjarify", str(apk), "-o", str(jar)], env=system, check=True, capture_output=True)
    harness = apk.parent / "harness"
    shutil.copytree(classes, harness)
    for path in (harness / "org" / "sparsedevice").glob("*.class"):
        path.unlink()  # the library is to come from the APK
    process = Jvm(Path(f"{jar}:{harness}"))
    model = JvmRecommender(process, apk.parent / "model.sd", "JAVA")
    reference = NumpyRecommender.open(apk.parent / "model.sd")
    for history in (["item-3", "item-44"], ["item-7"], []):
        answer, wanted = model.recommend(history=history, k=5), reference.recommend(history=history, k=5)
        assert (answer.items, answer.titles) == (wanted.items, wanted.titles)
        assert np.array_equal(answer.scores.view(np.int32), wanted.scores.view(np.int32))
    write_small(apk.parent / "next.sd", similarity="dot")
    said = diff(apk.parent / "model.sd", apk.parent / "next.sd", apk.parent / "update.sdd")
    assert said["kind"] == "delta"
    places = {"base": "model.sd", "delta": "update.sdd", "out": "updated.sd"}
    process.ask("update", **{name: str(apk.parent / place) for name, place in places.items()})
    assert (apk.parent / "updated.sd").read_bytes() == (apk.parent / "next.sd").read_bytes()
    compact(apk.parent / "next.sd", apk.parent / "next.sdz")
    JvmRecommender(process, apk.parent / "next.sdz", "JAVA")
    (expanded,) = apk.parent.glob("next.sdz-*.sd")
    assert expanded.read_bytes() == (apk.parent / "next.sd").read_bytes()
    process.close()
