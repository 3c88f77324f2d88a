"""The page of an inspection in a real browser: driven by mouse and keyboard, it loads nothing."""

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from headless import chromium
from inspected_toys import Tiny, batches_of
from PIL import Image

from chanattn import inspect
from chanattn.report.inspection_page import pictures_of, write_inspection_page
from chanattn.runs.inspection import Inspection

HOSTILE = "</script><script>document.title='owned'</script><img src=x onerror=alert(1)>"
CLASSES = ("red", HOSTILE, "blue")
ENTER = "\ue007"


def painted(colours: np.ndarray) -> inspect.Batch:
    image = np.broadcast_to(colours[:, None, None], (len(colours), 4, 4, 3))
    return {"image": image.astype(np.float32), "mask": np.ones(len(colours), np.float32)}


@pytest.fixture(scope="module")
def inspection() -> Inspection:
    """Of a small network on pictures of three colours."""
    model = Tiny("cbam", (("reduction", 1),))
    variables = jax.jit(model.init)(jax.random.key(0), jnp.zeros((1, 4, 4, 3)))
    labels = np.arange(30) % 3
    images = np.broadcast_to(np.eye(3)[labels][:, None, None], (30, 4, 4, 3))
    found = inspect.inspection(
        inspect.Network(model),
        variables,
        batches_of(images, labels, 16),
        inspect.Classes(CLASSES),
        painted=painted,
        effort=inspect.Effort(draws=2, resamples=20, pictures=3),
    )
    told = {"run": HOSTILE, "name": HOSTILE, "model": "tiny", "attention": "cbam", "step": 1}
    more = {"weights": "raw", "dataset": HOSTILE, "split": "test", "static_twin": None, "how": {}}
    return Inspection(told | more | found)


@pytest.fixture(scope="module")
def page(inspection: Inspection, tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("page") / "run #1 %20"
    inspection.write(run)
    found = Inspection.read(run)
    assert found is not None
    png = io.BytesIO()
    Image.new("RGB", (4, 4), (200, 0, 0)).save(png, "PNG")
    return write_inspection_page(
        run, found, dict.fromkeys(pictures_of(found.values), png.getvalue())
    )


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    yield from chromium(tmp_path_factory.mktemp("profile"))


@pytest.fixture
def opened(browser: Any, page: Path) -> Any:
    browser.get("about:blank")
    browser.get(page.as_uri())
    return browser


def all_of(opened: Any, selector: str) -> list[Any]:
    return opened.find_elements("css selector", selector)


def test_the_overview_has_a_row_a_module_and_leads_to_it_by_the_keyboard(
    opened: Any, inspection: Inspection
) -> None:
    tables = all_of(opened, "table.sites")
    assert len(tables) == 3  # of the score, the loss, and what varies
    sites = inspection.values["modules"][0]["sites"]
    names = [
        row.text for row in all_of(opened, "table.sites")[2].find_elements("css selector", "th a")
    ]
    assert (
        names
        == [site["name"] for site in sites]
        == ["attention/channel/weights", "attention/spatial/weights"]
    )
    assert len(all_of(opened, "svg.spark rect")) == 24 * len(sites)
    difference = inspection.values["input_matters"]["replaced"]["another"]["attention"]["accuracy"]
    shown = tables[0].find_elements("css selector", "tbody td")[2].text.splitlines()[0]
    assert float(shown.replace("−", "-")) == pytest.approx(
        100 * difference["difference"], abs=0.006
    )
    all_of(opened, "nav a")[1].send_keys(ENTER)
    assert opened.current_url.endswith("#module-0")
    assert all_of(opened, "#view h2")[0].text == "attention"
    assert all_of(opened, "nav a[aria-current]")[0].text == "attention"
    opened.back()
    assert all_of(opened, "#view h2")[0].text == "Does the input matter?"


def heat_rows(opened: Any) -> list[list[float]]:
    script = """return [...document.querySelector("table.heat").tBodies[0].rows].map(
        row => [...row.querySelectorAll("td")].map(cell => Number(cell.dataset.value)))"""
    return opened.execute_script(script)


def test_the_heat_map_sorts_both_ways_and_is_read_by_pointing(
    opened: Any, inspection: Inspection
) -> None:
    opened.get(opened.current_url + "#module-0")
    by_class = inspection.values["modules"][0]["sites"][0]["shown_units"]["by_class"]
    np.testing.assert_allclose(heat_rows(opened), by_class, rtol=1e-4)
    all_of(opened, "table.heat tbody th button")[0].send_keys(ENTER)
    np.testing.assert_allclose(heat_rows(opened)[0], sorted(by_class[0], reverse=True), rtol=1e-4)
    all_of(opened, "table.heat thead button")[0].click()
    column = [row[0] for row in heat_rows(opened)]
    assert column == sorted(column, reverse=True)
    announced = all_of(opened, "#announcement")[0].get_attribute("textContent")
    assert announced.startswith("sorted by channel")
    cell = all_of(opened, "table.heat td")[0]
    opened.execute_script(
        "arguments[0].dispatchEvent(new MouseEvent('mouseover', {bubbles: true}))", cell
    )
    assert all_of(opened, ".readout")[0].text == cell.get_attribute("title")
    background = "return getComputedStyle(arguments[0]).backgroundColor"
    colours = {opened.execute_script(background, each) for each in all_of(opened, "table.heat td")}
    assert len(colours) > 2


def test_a_channel_is_chosen_and_shows_its_pictures_curve_and_colours(
    opened: Any, inspection: Inspection
) -> None:
    opened.get(opened.current_url + "#module-0")
    module = inspection.values["modules"][0]
    assert len(all_of(opened, ".curve svg polyline")) == 3
    assert len(all_of(opened, ".importance circle")) == 3
    assert len(all_of(opened, ".hues td")) == 2 * 5 * 13  # of the weight and of the response
    for choice in all_of(opened, "#channel option"):
        choice.click()
        unit = int(choice.get_attribute("value"))
        texts = [
            item.text
            for item in all_of(opened, ".channel .pictures")[0].find_elements("css selector", "li")
        ]
        numbers = [int(text.split(":")[0].removeprefix("no. ")) for text in texts]
        assert numbers == module["sites"][0]["strongest"][unit]["index"]
    assert all(image.get_property("naturalWidth") == 4 for image in all_of(opened, ".channel img"))


def test_a_picture_is_chosen_and_shows_what_replacing_changes(
    opened: Any, inspection: Inspection
) -> None:
    all_of(opened, "nav a")[-1].click()
    assert len(all_of(opened, ".choices button")) == 3
    all_of(opened, ".choices button")[2].send_keys(ENTER)
    assert opened.current_url.endswith("#picture-2")
    found = inspection.values["single_pictures"][2]
    assert all_of(opened, "#view h2")[0].text == f"Picture {found['index']}"
    headings = [h.text for h in all_of(opened, "#view .row h3")]
    assert headings == [
        "as it is",
        "weights: the mean",
        "weights: another picture's",
        "weights: one number",
    ]
    shown = all_of(opened, ".answer")[0].text.splitlines()[-1]
    assert shown == f"{100 * found['answers']['untouched'][0][1]:.1f} %"
    strips = [len(s.find_elements("css selector", "span")) for s in all_of(opened, ".strip")]
    assert strips == [3, 16]
    pressed = all_of(opened, ".choices button[aria-pressed=true]")
    assert len(pressed) == 1


@pytest.mark.parametrize("width", [400, 1600])
def test_every_part_fits_its_window_and_knows_the_dark(opened: Any, width: int) -> None:
    size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
    opened.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    for part in ("overview", "module-0", "picture-1"):
        opened.execute_script("location.hash = arguments[0]", part)
        fits = "return document.documentElement.scrollWidth <= window.innerWidth"
        assert opened.execute_script(fits), part
    colour = "return getComputedStyle(document.body).backgroundColor"
    light = opened.execute_script(colour)
    scheme = [{"name": "prefers-color-scheme", "value": "dark"}]
    opened.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": scheme})
    assert opened.execute_script(colour) != light
    opened.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})
    opened.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def test_no_name_becomes_code_and_nothing_is_loaded(opened: Any, page: Path) -> None:
    for kind in ("browser", "performance"):
        opened.get_log(kind)  # empties it
    for part in ("overview", "module-0", "picture-0"):
        opened.execute_script("location.hash = arguments[0]", part)
        assert opened.title.startswith("Inspection of </script>")
        assert len(all_of(opened, "script")) == 2
        sources = [image.get_attribute("src") for image in all_of(opened, "img")]
        assert all(source.startswith("data:image/png") for source in sources)
    opened.refresh()
    assert [entry for entry in opened.get_log("browser") if entry["level"] == "SEVERE"] == []
    requests = [json.loads(entry["message"])["message"] for entry in opened.get_log("performance")]
    asked = {
        r["params"]["request"]["url"].split("#")[0]
        for r in requests
        if r["method"] == "Network.requestWillBeSent"
    }
    assert {url for url in asked if not url.startswith("data:")} <= {page.as_uri()}
