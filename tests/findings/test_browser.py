"""The report in headless Chromium, from disk. Skipped where Chromium, its driver or selenium is not installed."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlparse

import numpy as np
import pandas as pd
import pytest

from ssc_sweep.findings.__main__ import rebuild
from tests.findings.studies import FAST, SLOW, fail, finish, make_study

CHROMIUM, DRIVER = Path("/usr/bin/chromium"), Path("/usr/bin/chromedriver")
for needed in (CHROMIUM, DRIVER):
    if not needed.exists():
        pytest.skip(f"{needed} is not installed", allow_module_level=True)
webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed")
waiting = pytest.importorskip("selenium.webdriver.support.ui")

FLAGS = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update",
    "--disable-sync", "--no-first-run", "--host-resolver-rules=MAP * ~NOTFOUND",
)  # fmt: skip
HEIGHT = 800
COLUMN = (
    "return [...document.querySelectorAll('#runs tbody tr:not([hidden])')].map(r => r.cells[arguments[0]].innerText)"
)
TOO_WIDE = (
    "return [...document.querySelectorAll('.scroll')].filter(e => e.scrollWidth > e.clientWidth + 1)"
    ".map(e => e.innerText)"
)


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    outputs = tmp_path_factory.mktemp("outputs")
    folder, other = make_study(outputs / "study"), make_study(outputs / "other", seeds=2)
    fail(folder.run("control", 7))
    finish(folder.run(FAST, 6), None)
    rebuild([folder, other])
    return folder.path / "report.html"


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    options = webdriver.ChromeOptions()
    options.binary_location = str(CHROMIUM)
    for flag in (*FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('profile')}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(str(DRIVER)))
    driver.implicitly_wait(2)
    yield driver
    driver.quit()


def size(browser: Any, width: int) -> None:
    metrics = {"width": width, "height": HEIGHT, "deviceScaleFactor": 1, "mobile": False}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)


def wait_until_sorted(browser: Any, header: int, direction: str) -> None:
    """Click a column's title and wait until the table has been sorted."""
    browser.execute_async_script(
        "const done = arguments[1], table = document.getElementById('runs');"
        "table.addEventListener('sort-end', () => done(), {once: true});"
        "table.tHead.rows[0].cells[arguments[0]].click();",
        header,
    )
    assert (
        browser.execute_script(f"return document.querySelector('#runs th:nth-child({header + 1})').ariaSort")
        == direction
    )


@pytest.mark.parametrize("width", [1280, 400])
@pytest.mark.parametrize("page", ["study/report.html", "index.html"])
def test_opens_from_disk_without_errors_and_fits(browser: Any, report: Path, width: int, page: str) -> None:
    size(browser, width)
    browser.get((report.parents[1] / page).as_uri())
    browser.execute_script("for (const d of document.querySelectorAll('details')) d.open = true")
    assert browser.get_log("browser") == []
    assert browser.execute_script("return document.documentElement.scrollWidth") <= width
    # Every table fits a desk's screen; on a phone it scrolls in its own box.
    if width == 1280:
        assert browser.execute_script(TOO_WIDE) == []
    loaded = "return [...document.images].every(i => i.complete && i.naturalWidth > 0 && i.alt.length > 20)"
    assert browser.execute_script(loaded)
    fetched = (
        "return performance.getEntriesByType('resource').filter(e => !e.name.startsWith('data:')).map(e => e.name)"
    )
    assert browser.execute_script(fetched) == []


def test_links_lead_to_something(browser: Any, report: Path) -> None:
    for page in (report, report.parents[1] / "index.html"):
        browser.get(page.as_uri())
        links = browser.execute_script("return [...document.links].map(a => a.href)")
        files = [link for link in links if "#" not in link]
        assert files
        assert all(link.startswith("file:///") and Path(unquote(urlparse(link).path)).exists() for link in files)


def test_sorts_by_number_with_the_missing_ones_last(browser: Any, report: Path) -> None:
    size(browser, 1280)
    browser.get(report.as_uri())
    assert browser.execute_script(COLUMN, 2)[:2] == ["failed", "diverged"]
    wait_until_sorted(browser, 3, "ascending")
    shown = browser.execute_script(COLUMN, 3)
    assert shown[-2:] == ["-", "-"]
    numbers = [float(text) for text in shown[:-2]]
    assert numbers == sorted(numbers) and len(numbers) == 22
    wait_until_sorted(browser, 3, "descending")
    shown = browser.execute_script(COLUMN, 3)
    assert [float(text) for text in shown[:-2]] == numbers[::-1]


def test_filters_by_words_and_by_status(browser: Any, report: Path) -> None:
    browser.get(report.as_uri())
    find = browser.find_element("id", "find")
    find.send_keys("LR=1e-5")
    assert set(browser.execute_script(COLUMN, 0)) == {SLOW}
    assert browser.find_element("id", "shown").text == "8 of 24 runs"
    find.clear()
    browser.find_element("css selector", "#pick option:nth-child(2)").click()
    assert browser.execute_script(COLUMN, 2) == ["failed"]


def test_a_link_opens_the_panel_of_its_run(browser: Any, report: Path) -> None:
    size(browser, 1280)
    browser.get(report.as_uri())
    browser.execute_script("document.querySelector('#runs a[href=\"#run-2\"]').click()")
    waiting.WebDriverWait(browser, 5).until(
        lambda b: b.execute_script("return document.getElementById('run-2').closest('details').open")
    )
    panel = browser.find_element("css selector", "details.run[open]")
    assert "End of the log" in panel.text
    assert browser.get_log("browser") == []


@pytest.mark.parametrize("width", [1280, 400])
def test_the_answer_and_the_forest_plot_are_in_the_first_screen(browser: Any, report: Path, width: int) -> None:
    size(browser, width)
    browser.get(report.as_uri())
    ends = browser.execute_script(
        "return ['.answer', '.forest img'].map(one => document.querySelector(one).getBoundingClientRect().bottom)"
    )
    assert all(0 < end <= HEIGHT for end in ends)


def test_rarely_needed_columns_appear_with_a_tick(browser: Any, report: Path) -> None:
    size(browser, 1280)
    browser.get(report.as_uri())
    shown = "return [...document.querySelectorAll('[aria-labelledby=numbers] th')].filter(th => th.offsetWidth).length"
    few = browser.execute_script(shown)
    browser.execute_script("document.querySelector('.wide:has([aria-labelledby=numbers]) .columns input').click()")
    assert (few, browser.execute_script(shown)) == (9, 14)


def test_the_contents_stay_in_sight(browser: Any, report: Path) -> None:
    size(browser, 1280)
    browser.get(report.as_uri())
    browser.execute_script("scrollTo(0, document.documentElement.scrollHeight)")
    top = "return scrollY > 500 && document.querySelector('nav').getBoundingClientRect().top"
    assert browser.execute_script(top) == 0


@pytest.mark.parametrize("page", ["study/report.html", "index.html"])
def test_the_page_is_dark_where_the_browser_is(browser: Any, report: Path, page: str) -> None:
    grounds = []
    for scheme in ("light", "dark"):
        feature = {"name": "prefers-color-scheme", "value": scheme}
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [feature]})
        browser.get((report.parents[1] / page).as_uri())
        grounds.append(browser.execute_script("return getComputedStyle(document.body).backgroundColor"))
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})
    assert grounds == ["rgb(255, 255, 255)", "rgb(22, 25, 29)"]


def test_two_runs_are_compared_by_config_and_curves(browser: Any, report: Path) -> None:
    size(browser, 1280)
    browser.get(report.as_uri())
    rows = "[...document.querySelectorAll('#runs tbody tr')].filter(r => r.cells[0].innerText === arguments[0])"
    click = f"({rows})[0].querySelector('[data-run]').click()"
    browser.execute_script(click, FAST)
    assert "Click “compare” in another row" in browser.find_element("id", "shown").text
    # Those that went wrong come first: the fast arm's is seed 6, the slow arm's first is seed 0.
    browser.execute_script(click, SLOW)
    cells = "return [...document.querySelectorAll('#beside tbody tr')].map(r => [...r.cells].map(c => c.innerText))"
    assert browser.execute_script(cells) == [["optimizer.lr", "0.0001", "1e-05"], ["seed", "6", "0"]]
    curves = "return [...document.querySelectorAll('.both figure')].map(f => f.querySelectorAll('polyline').length)"
    assert browser.execute_script(curves) == [1, 1, 1]  # of one epoch there is no line
    assert browser.get_log("browser") == []


def test_curves_of_two_runs_share_their_axis(browser: Any, report: Path) -> None:
    browser.get(report.as_uri())
    pick = (
        "const of = start => [...left.options].find(o => o.text.startsWith(start + ', seed 0')).value;"
        "left.value = of(arguments[0]); right.value = of(arguments[1]); right.dispatchEvent(new Event('change'));"
        "return [...[...document.querySelectorAll('.both figure')].find(f => f.innerText.includes('val_rmse'))"
        ".querySelectorAll('polyline')].map(line => line.getAttribute('points'))"
    )
    lines = browser.execute_script(pick, SLOW, FAST)
    drawn = [[float(point.split(",")[1]) for point in line.split()] for line in lines]
    histories = [pd.read_csv(report.parent / arm / "seed=0" / "history.csv") for arm in (SLOW, FAST)]
    logs = [np.log(history["val_rmse"].dropna().to_numpy()) for history in histories]
    low, high = np.min(logs), np.max(logs)
    for places, log in zip(drawn, logs, strict=True):
        np.testing.assert_allclose(places, 29 - 28 * (log - low) / (high - low), atol=0.11)


def test_the_index_is_filtered_by_what_a_study_found(browser: Any, report: Path) -> None:
    browser.get((report.parents[1] / "index.html").as_uri())
    browser.find_element("id", "find").send_keys("rate too HIGH study")
    assert browser.find_element("id", "shown").text.endswith("of 2 studies")
    browser.find_element("id", "find").send_keys(" no such words")
    assert browser.find_element("id", "shown").text == "0 of 2 studies"
