"""The page in a real browser: the table sorts, nothing is loaded, no name becomes code."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fake_sweep import write_sweep
from headless import chromium

from chanattn.report.sweep_report import write_report

HOSTILE = "<script>alert(1)</script><img src=x onerror=\"document.title='owned'\">"
NAMES = [
    "none",
    HOSTILE,
    "'\"> onclick=alert(2) {{ 7 * 7 }} {% raw %}",
    "😀 👩‍👩‍👧",
    "n" * 300,
    "a\nb",
    "../../../etc/passwd",
    "javascript:alert(3)//</script><script>document.title='owned'</script>",
]
VALUES = {
    name: [0.90 + 0.01 * (i % 4), 0.91 + 0.01 * (i % 4), None if i == 5 else 0.92]
    for i, name in enumerate(NAMES)
}


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of a sweep in which every text that a user chooses is hostile."""
    folder = tmp_path_factory.mktemp("page") / "sweep #1 %20"
    figures = {
        "source": HOSTILE,
        "setting": HOSTILE,
        "metric": HOSTILE,
        "higher_is_better": True,
        "note": HOSTILE,
        "values": {"none": 92.0},
    }
    write_sweep(folder, VALUES, published=[figures], title=HOSTILE, cost={HOSTILE: {"macs": 1e6}})
    return write_report(folder)


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A headless Chromium that notes its console and its requests."""
    yield from chromium(tmp_path_factory.mktemp("profile"))


@pytest.fixture
def opened(browser: Any, page: Path) -> Any:
    """The browser with the page freshly loaded."""
    browser.get(page.as_uri())
    return browser


def column(opened: Any, number: int) -> list[str]:
    """The texts of a column from top to bottom, without second lines."""
    script = """return [...document.querySelector("table.sortable").tBodies[0].rows].map(
        row => row.cells[arguments[0]].firstChild.textContent)"""
    return opened.execute_script(script, number)


def heading(opened: Any, text: str) -> tuple[int, Any]:
    buttons = opened.find_elements("css selector", "table.sortable thead button")
    return next((i, b) for i, b in enumerate(buttons) if b.text.startswith(text))


def state(opened: Any, number: int) -> str:
    cells = opened.find_elements("css selector", "table.sortable thead tr:last-child th")
    return cells[number].get_attribute("aria-sort")


def test_a_heading_sorts_rising_then_falling(opened: Any) -> None:
    names = column(opened, 0)
    assert names[:3] == ["none", HOSTILE[:39] + "…" + HOSTILE[-20:], NAMES[2]]
    number, button = heading(opened, "median")
    before = [float(text) for text in column(opened, number)]
    button.click()
    assert [float(text) for text in column(opened, number)] == sorted(before)
    assert state(opened, number) == "ascending"
    button.click()
    assert [float(text) for text in column(opened, number)] == sorted(before, reverse=True)
    assert state(opened, number) == "descending"
    announced = opened.find_element("id", "announcement").get_attribute("textContent")
    assert announced == "sorted by median, falling"
    assert sorted(column(opened, 0)) == sorted(names)


def test_the_keyboard_sorts_too_and_unknown_values_stay_last(opened: Any) -> None:
    number, button = heading(opened, "MACs")
    for key in ("\ue007", " "):  # enter, space
        button.send_keys(key)
        assert column(opened, number) == ["1.00 M", *("–" for _ in NAMES[1:])]
        assert column(opened, 0)[0].startswith("<script>")
    assert state(opened, number) == "descending"


def test_names_sort_as_texts(opened: Any) -> None:
    number, button = heading(opened, "variant")
    button.click()
    names = column(opened, number)
    assert names.index("a b") < names.index("none")
    assert set(names[-2:]) == {"none", "n" * 39 + "…" + "n" * 20}


def test_console_is_silent_and_no_request_leaves_the_page(browser: Any, page: Path) -> None:
    for kind in ("browser", "performance"):
        browser.get_log(kind)  # empties it
    browser.get(page.as_uri())
    for details in browser.find_elements("css selector", "summary"):
        details.click()
    heading(browser, "n")[1].click()
    assert browser.get_log("browser") == []
    events = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    urls = [
        event["params"]["request"]["url"]
        for event in events
        if event["method"] == "Network.requestWillBeSent"
    ]
    assert page.as_uri() in urls
    assert all(url == page.as_uri() or url.startswith("data:") for url in urls)


def test_no_name_becomes_code(opened: Any) -> None:
    assert opened.title == HOSTILE
    assert opened.execute_script("return document.scripts.length") == 1
    assert opened.execute_script("return document.querySelectorAll('img').length") == 5
    inline = """return [...document.querySelectorAll("*")]
        .flatMap(element => element.getAttributeNames()).filter(name => name.startsWith("on"))"""
    assert opened.execute_script(inline) == []
    assert "{{ 7 * 7 }}" in opened.find_element("css selector", "main").text


def test_a_smuggled_script_would_not_run(opened: Any) -> None:
    opened.execute_script("""
        const script = document.createElement("script");
        script.textContent = "window.smuggled = true";
        document.body.append(script);""")
    assert opened.execute_script("return window.smuggled") is None
    opened.get_log("browser")  # the policy has complained, as it should


def test_links_lead_to_the_runs_and_tables(opened: Any, page: Path) -> None:
    links = [link.get_property("href") for link in opened.find_elements("css selector", "a")]
    runs = [
        page.parent.parent / "runs" / f"variant{i}" / f"seed{k}"
        for i in range(len(NAMES))
        for k in range(3)
    ]
    assert links[: len(runs)] == [f"{run.as_uri()}/" for run in runs]
    assert links[len(runs) :] == [
        (page.parent / f"table.{kind}").as_uri() for kind in ("csv", "json", "md", "tex")
    ]


def test_pictures_are_inlined_and_described(opened: Any) -> None:
    for image in opened.find_elements("css selector", "img"):
        assert image.get_property("naturalWidth") > 800
        assert len(image.get_attribute("alt")) > 40


def test_the_page_fits_its_window_in_light_and_dark(opened: Any) -> None:
    def colour() -> str:
        return opened.execute_script("return getComputedStyle(document.body).backgroundColor")

    assert opened.execute_script("return document.documentElement.scrollWidth <= window.innerWidth")
    light = colour()
    scheme = [{"name": "prefers-color-scheme", "value": "dark"}]
    opened.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": scheme})
    assert colour() != light
    opened.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})


def test_recipe_overrides_environment_and_origin_are_on_the_page(page: Path) -> None:
    text = page.read_text()
    for part in (
        *("optimizer.learning_rate", "model.attention.name = &#34;mechanism0&#34;", "onednn"),
        *("configs/ablations/fake.py:digits", "2026-01-02T03:04:05+0000", "Does it matter?"),
        "seed 2 incomplete, at step 100",
    ):
        assert part in text, part
    assert "<script>alert" not in text
    assert text.count("<script>") == 1
