"""The report in headless Chromium, from disk. Skipped where Chromium, its driver or selenium is not installed."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlparse

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
COLUMN = (
    "return [...document.querySelectorAll('#runs tbody tr:not([hidden])')].map(r => r.cells[arguments[0]].innerText)"
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
    metrics = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
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
