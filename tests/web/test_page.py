"""The page in Chromium: what a person does with it, with mouse, keyboard, a phone, and no network.

``SPARSEDEVICE_SCREENSHOTS=docs/images`` keeps the screenshots of the documentation; ``AXE_CORE=axe.min.js``
runs the accessibility checker axe-core, which is not part of this repository.
"""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest

from sparsedevice import load

LOOKS = {
    "phone-light": {"width": 390, "height": 844, "dark": False},
    "phone-dark": {"width": 390, "height": 844, "dark": True},
    "desktop-light": {"width": 1280, "height": 900, "dark": False},
    "desktop-dark": {"width": 1280, "height": 900, "dark": True},
}
SHOWN = "[...document.querySelectorAll('#results .what')].map((what) => what.innerText.trim())"
CHIPS = "[...document.querySelectorAll('#history span')].map((chip) => chip.textContent)"
TEXT = "document.getElementById({!r}).textContent"


@pytest.fixture(scope="module")
def address(bundle, serving):
    with serving(bundle) as url:
        yield url


def visit(browser, url, ids=()):
    """Open the page anew with a history, and wait until it is ready."""
    browser.get("about:blank")
    browser.get(url + (f"#like={','.join(ids)}" if ids else ""))
    browser.wait("document.getElementById('app').getAttribute('aria-busy') === 'false'")


def expected(bundle, history, **question):
    answer = load(bundle / "model.sd").recommend(history=history, k=12, **question)
    return [title or id_ for id_, title in zip(answer.items, answer.titles, strict=True)]


@pytest.fixture
def page(browser, address):
    browser.look(**LOOKS["desktop-light"])
    visit(browser, address)
    yield browser
    assert not browser.errors()


def test_recommendations_are_those_of_the_core(page, address, bundle):
    visit(page, address, ["3", "9"])
    assert page.run(f"return {SHOWN}") == expected(bundle, ["3", "9"])
    assert int(page.run(f"return {TEXT.format('microseconds')}").replace(",", "")) > 0
    assert page.run(f"return {TEXT.format('status')}").startswith("12 recommendations in ")
    assert page.run(f"return {TEXT.format('fact-kernel')}") == "WebAssembly SIMD"
    assert page.run("return crossOriginIsolated")


def test_search_and_add_by_keyboard(page, bundle):
    wanted = load(bundle / "model.sd")
    title = wanted.recommend(history=[], k=1).titles[0]
    page.run("document.getElementById('search').focus()")
    page.keys(title.lower()[4:9])
    page.wait("!document.getElementById('suggestions').hidden")
    assert page.run("return document.getElementById('search').getAttribute('aria-expanded')") == "true"
    options = page.run("return [...document.querySelectorAll('[role=option]')].map((o) => o.textContent)")
    page.keys("ArrowDown")
    page.keys("ArrowDown")
    page.keys("ArrowUp")
    active = page.run("return document.activeElement.getAttribute('aria-activedescendant')")
    assert page.run(f"return {TEXT.format(active)}") == options[0]
    page.keys("Enter")
    assert page.run(f"return {CHIPS}") == [options[0]]
    assert len(page.run(f"return {SHOWN}")) == 12
    page.keys("zzzz")
    assert "Nothing here is called “zzzz”" in page.run(f"return {TEXT.format('found')}")
    page.keys("Escape")
    assert page.run("return document.getElementById('search').value") == ""


def test_like_hide_similar_remove_clear(page, address):
    visit(page, address, ["3"])
    first, second, *_ = page.run(f"return {SHOWN}")
    page.click("#results li:first-child button[aria-label^=Hide]")
    assert first not in page.run(f"return {SHOWN}")
    assert page.run("return document.activeElement.getAttribute('aria-label')").startswith("Hide ")
    page.click("#results li:first-child button[aria-label^=Like]")
    assert page.run(f"return {CHIPS}")[1] == second
    assert not {first, second} & set(page.run(f"return {SHOWN}"))
    page.click("#results li:first-child .what")
    assert page.run(f"return {TEXT.format('results-heading')}").startswith("More like ")
    page.click("#back")
    assert page.run(f"return {TEXT.format('results-heading')}") == "For you"
    page.click("#history li:first-child button")
    assert page.run(f"return {CHIPS}") == [second]
    page.click("#clear")
    assert page.run(f"return {CHIPS}") == page.run(f"return {SHOWN}") == []
    assert page.run("return document.activeElement.id") == "search"


def test_example(page):
    page.click("#example")
    assert len(page.run(f"return {CHIPS}")) == 3
    assert len(page.run(f"return {SHOWN}")) == 12


def test_unknown_ids_in_the_address_are_named(page, address, bundle):
    visit(page, address, ["3", "nobody%2C"])
    assert page.run(f"return {TEXT.format('found')}") == "Not in this catalogue, left out: nobody,"
    assert page.run(f"return {SHOWN}") == expected(bundle, ["3"])


def test_nothing_to_recommend_from(page):
    assert "as soon as you like something" in page.run(f"return {TEXT.format('results-note')}")
    assert page.run(f"return {SHOWN}") == []


@pytest.mark.parametrize("look", LOOKS)
def test_looks(look, page, address, tmp_path):
    """Nothing sticks out at the side, and a screenshot for the documentation is small."""
    page.look(**LOOKS[look])
    visit(page, address, ["0", "6", "12"])
    page.wait(f"{TEXT.format('fact-offline')} === 'works'")
    page.run("document.getElementById('back').click()")  # asks again, now that the browser has compiled all
    wide, window = page.run("return [document.documentElement.scrollWidth, innerWidth]")
    assert wide <= window
    dark = page.run("return getComputedStyle(document.body).backgroundColor") == "rgb(20, 22, 26)"
    assert dark == LOOKS[look]["dark"]
    folder = Path(os.environ.get("SPARSEDEVICE_SCREENSHOTS") or tmp_path)
    page.screenshot(folder / f"web-{look}.png")
    assert 5_000 < (folder / f"web-{look}.png").stat().st_size < 150_000


@pytest.mark.parametrize("look", LOOKS)
def test_accessibility_checker(look, page, address):
    checker = os.environ.get("AXE_CORE")
    if not checker:
        pytest.skip("axe-core is not there: AXE_CORE does not name its axe.min.js")
    page.look(**LOOKS[look])
    visit(page, address, ["0", "6", "12"])
    page.run("document.getElementById('search').focus()")
    page.keys("the")
    for state in ("search open", "search closed"):
        page.run(Path(checker).read_text(encoding="utf-8") + "\nwindow.axe = axe;")
        result = page.run("return axe.run()")
        assert len(result["passes"]) > 20, "the checker has looked at the page"
        assert not result["violations"], (state, json.dumps(result["violations"], indent=1)[:3000])
        page.keys("Escape")


def test_works_without_a_network(browser, bundle, serving):
    """After one visit the server goes away: the page still opens and recommends."""
    with serving(bundle) as url:
        visit(browser, url, ["3"])
        browser.wait(f"{TEXT.format('fact-offline')} === 'works'")
        online = browser.run(f"return {SHOWN}")
    browser.errors()
    visit(browser, url, ["3"])
    assert browser.run(f"return {SHOWN}") == online
    visit(browser, url + "?source=home", ["3", "9"])
    assert browser.run(f"return {SHOWN}") == expected(bundle, ["3", "9"])


def edit(path, old, new):
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")


def test_a_new_export_replaces_the_kept_files(browser, bundle, serving, tmp_path):
    """The worker of another bundle at the same address fetches all files anew, and says so."""
    folder = tmp_path / "bundle"
    shutil.copytree(bundle, folder)
    with serving(folder) as url:
        visit(browser, url)
        browser.wait(f"{TEXT.format('fact-offline')} === 'works'")
        visit(browser, url)
        edit(folder / "index.html", "What next?", "What then?")
        edit(folder / "service-worker.js", "${PREFIX}", "${PREFIX}another ")
        visit(browser, url)
        browser.wait("!document.getElementById('update').hidden")
        browser.click("#reload")
        browser.wait("document.querySelector('h1')?.textContent === 'What then?'")
        kept = [name for name in browser.run("return caches.keys()") if "model" not in name]
        assert len(kept) == 1
        assert " another " in kept[0]


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda data: data[: len(data) // 2], "the file ends too early"),
        (lambda data: data[:8] + b"\x63" + data[9:], "a format version that is not known here"),
        (lambda data: data[:-1] + bytes([data[-1] ^ 1]), "does not match its checksum"),
        (lambda data: b"<html>" + data, "this is not a sparsedevice packed file"),
        (None, "HTTP 404"),
    ],
    ids=["truncated", "version", "checksum", "not-a-model", "missing"],
)
def test_a_damaged_model_is_a_message(damage, said, browser, bundle, serving, tmp_path):
    folder = tmp_path / "bundle"
    shutil.copytree(bundle, folder)
    with serving(folder) as url:
        model = folder / "model.sd"
        (folder / "model.sdz").unlink()
        if damage is None:
            model.unlink()
        else:
            model.write_bytes(damage(model.read_bytes()))
        browser.get(url)
        browser.wait("!document.getElementById('problem').hidden")
        problem = browser.run(f"return {TEXT.format('problem')}")
    assert problem.startswith("The model could not be opened: ")
    assert said in problem
    assert browser.run("return document.getElementById('app').hidden")
    browser.errors()
