"""The browser app in a real browser: from a picture to a file, offline, cancelled, refused, by keyboard, on a phone."""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import rlfn

PIL = pytest.importorskip("PIL.Image")

AXE = Path(__file__).parents[2] / "web" / "node_modules" / "axe-core" / "axe.min.js"
DONE = '.picture[data-status="done"]'
Visit = Callable[..., Any]


def picture(name: str = "small.png", height: int = 30, width: int = 44, kind: str = "PNG") -> dict[str, Any]:
    """Return a file to be chosen."""
    pixels = np.random.default_rng(height).integers(0, 256, (height, width, 3)).astype(np.uint8)
    file = io.BytesIO()
    PIL.fromarray(pixels).save(file, kind)
    return {"name": name, "mimeType": f"image/{kind.lower()}", "buffer": file.getvalue()}


def choose(page: Any, *files: dict[str, Any], scale: int = 2) -> None:
    """Choose a scale and files."""
    page.check(f'input[name="size"][value="{scale}"]', force=True)
    page.set_input_files("#file", list(files))


def saved(page: Any, selector: str) -> bytes:
    """Click on what downloads, and return the file."""
    with page.expect_download() as started:
        page.click(selector)
    return Path(started.value.path()).read_bytes()


def test_a_picture_goes_in_and_a_file_comes_out(site: str, visit: Visit) -> None:
    page = visit(site, accept_downloads=True)
    given = picture()
    choose(page, given, scale=4)
    page.wait_for_selector(DONE)
    made = np.asarray(PIL.open(io.BytesIO(saved(page, "#download"))))
    wanted = rlfn.upscale(
        np.asarray(PIL.open(io.BytesIO(given["buffer"]))),
        model="rlfn-xs-x4",
        engine="onnxruntime",
        precision="fp32",
        restore="off",
    )
    assert int(np.abs(made.astype(int) - wanted).max()) <= 1
    assert page.inner_text("#caption .name") == "small_x4.png"
    assert "176 × 120 px" in page.inner_text("#caption .facts")
    assert "rlfn-xs-x4" in page.inner_text("#caption .facts")
    assert page.is_visible("compare-slider")


def test_several_pictures_make_a_zip_and_names_stay_apart(site: str, visit: Visit) -> None:
    page = visit(site, accept_downloads=True)
    choose(page, picture("a.png"), picture("a.png", 20), picture("b.webp", 25, kind="WEBP"))
    page.locator(DONE).nth(2).wait_for()
    with zipfile.ZipFile(io.BytesIO(saved(page, "#zip"))) as archive:
        assert sorted(archive.namelist()) == ["a (2)_x2.png", "a_x2.png", "b_x2.png"]
        assert archive.testzip() is None


@pytest.mark.parametrize(("format", "suffix"), [("jpeg", ".jpg"), ("webp", ".webp")])
def test_lossy_formats_can_be_chosen(format: str, suffix: str, site: str, visit: Visit) -> None:
    page = visit(site, accept_downloads=True)
    page.select_option("#format", format)
    page.fill("#quality", "90")
    choose(page, picture())
    page.wait_for_selector(DONE)
    made = PIL.open(io.BytesIO(saved(page, "#download")))
    assert (made.format, made.size) == (format.upper(), (88, 60))
    assert page.inner_text("#caption .name") == f"small_x2{suffix}"


def test_cancel_ends_the_work_and_the_next_picture_runs(site: str, visit: Visit) -> None:
    page = visit(site)
    choose(page, picture("large.png", 700, 700), picture("waiting.png"), scale=4)
    page.wait_for_selector('.picture[data-status="running"]')
    page.click('.picture[data-status="running"] [data-do="cancel"]')
    page.wait_for_selector('.picture[data-status="cancelled"]')
    page.wait_for_selector(DONE)
    assert "waiting.png" in page.inner_text(DONE)


def test_what_is_no_picture_is_refused_in_a_sentence(site: str, visit: Visit) -> None:
    page = visit(site)
    damaged = picture("damaged.png")
    damaged["buffer"] = damaged["buffer"][:60]
    choose(page, {"name": "words.png", "mimeType": "image/png", "buffer": b"no picture"}, damaged, picture("good.png"))
    page.wait_for_selector(DONE)
    states = [element.inner_text() for element in page.query_selector_all('.picture[data-status="failed"] .state')]
    assert len(states) == 2
    assert all("cannot read this file as a picture" in text and "JPEG, PNG, WebP" in text for text in states)


def test_a_family_offers_the_scales_it_has(site: str, visit: Visit) -> None:
    page = visit(site)
    page.select_option("#model", "rlfn-xxs-photo")
    assert page.is_disabled('input[name="size"][value="4"]')
    page.set_input_files("#file", [picture()])
    page.wait_for_selector(DONE)
    assert "rlfn-xxs-photo-x2" in page.inner_text("#caption .facts")


def test_the_module_refuses_what_it_cannot_do(site: str, visit: Visit) -> None:
    page = visit(site)
    message = """async (options) => {
      const { upscale } = await import('./upscale.js');
      const source = options.source ?? new Blob(['x']);
      return upscale(source, options).then(() => 'none', (error) => `${error.name}: ${error.message}`);
    }"""
    unknown = page.evaluate(message, {"model": "rlfn-xl"})
    assert "UpscaleError: There is no model 'rlfn-xl'. There are: rlfn-xs" in unknown
    assert "It upscales x2." in page.evaluate(message, {"model": "rlfn-xxs-photo", "scale": 4})
    assert "takes whole numbers from 78" in page.evaluate(message, {"model": "rlfn-s", "tile": 60})
    assert "image/png, image/jpeg or image/webp" in page.evaluate(message, {"type": "image/tiff"})
    assert "auto, webgpu and wasm" in page.evaluate(message, {"device": "gpu"})
    for threads in (0, 1.5):
        assert "Allowed: whole numbers from 1" in page.evaluate(message, {"threads": threads})
    for quality in (-0.1, 95):
        assert "Allowed: 0 to 1" in page.evaluate(message, {"type": "image/webp", "quality": quality})
    assert "Give a Blob or File" in page.evaluate(message, {"source": {"a": 1}})
    aborted = """async () => {
      const { upscale } = await import('./upscale.js');
      return upscale(new Blob(['x']), { signal: AbortSignal.abort() }).catch((error) => error.name);
    }"""
    assert page.evaluate(aborted) == "AbortError"


def test_everything_is_reached_by_keyboard(site: str, visit: Visit) -> None:
    page = visit(site)
    seen = []
    for _ in range(12):
        page.keyboard.press("Tab")
        seen.append(page.evaluate("(({ id, name, className }) => id || name || className)(document.activeElement)"))
    assert [name for name in ("skip", "theme", "choose", "size", "model", "format") if name not in seen] == []
    choose(page, picture())
    page.wait_for_selector(DONE)
    page.focus("compare-slider")
    page.evaluate("document.querySelector('#compare').divider.focus()")
    before = page.evaluate("document.querySelector('#compare').position")
    page.keyboard.press("Shift+ArrowRight")
    assert page.evaluate("document.querySelector('#compare').position") == before + 10


def test_a_phone_shows_everything_without_scrolling_sideways(site: str, visit: Visit) -> None:
    page = visit(site, viewport={"width": 360, "height": 740}, device_scale_factor=3, is_mobile=True, has_touch=True)
    choose(page, picture("a rather long name of a photograph from a holiday by the sea.png"))
    page.wait_for_selector(DONE)
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    small = """[...document.querySelectorAll('button, a.button, select')].filter((element) => element.offsetParent)
      .map((element) => element.getBoundingClientRect()).filter((box) => box.height < 40).length"""
    assert page.evaluate(small) == 0


def test_on_a_phone_the_options_are_folded_above_the_list(site: str, visit: Visit) -> None:
    page = visit(site, viewport={"width": 320, "height": 700}, is_mobile=True, has_touch=True)
    assert page.is_visible("#model")
    choose(page, *(picture(f"{name}.png") for name in "abc"))
    page.locator(DONE).nth(2).wait_for()
    tops = page.evaluate(
        "['drop', 'options', 'pictures'].map((id) => document.getElementById(id).getBoundingClientRect().top)"
    )
    assert tops == sorted(tops)
    assert not page.is_visible("#model")
    page.click("#options summary")
    page.select_option("#format", "jpeg")
    page.fill("#quality", "80")
    page.click("#clear")
    assert page.is_visible("#model")


def test_options_that_do_not_fit_are_shown_and_what_was_not_done_is_said(site: str, visit: Visit) -> None:
    page = visit(site, viewport={"width": 320, "height": 700})
    choose(page, picture("first.png"))
    page.wait_for_selector(DONE)
    page.click("#options summary")
    page.select_option("#format", "jpeg")
    page.fill("#quality", "500")
    page.click("#options summary")
    page.click('[data-do="again"]')
    problem = "Quality: enter a whole number from 1 to 100."
    assert page.inner_text("#notice") == f"{problem} first.png was not run again."
    page.set_input_files("#file", [picture("a.png"), picture("b.png")])
    page.wait_for_selector("#notice:has-text('not added')")
    assert page.inner_text("#notice") == f"{problem} 2 pictures were not added; choose again."
    assert page.locator(".picture").count() == 1
    assert page.evaluate("document.activeElement.id") == "quality"
    assert page.get_attribute("#quality", "aria-invalid") == "true"
    for place in ("#quality", "#notice"):
        box = page.locator(place).bounding_box()
        assert box["y"] >= 0
        assert box["y"] + box["height"] <= 700
    page.fill("#quality", "")
    assert page.get_attribute("#quality", "aria-invalid") is None
    page.set_input_files("#file", [picture("a.png")])
    page.locator(DONE).nth(1).wait_for()
    assert page.is_hidden("#notice")
    assert page.get_attribute("#quality", "aria-invalid") is None
    assert "a_x2.jpg" in page.get_attribute('.picture:last-child [data-do="download"]', "download")


def test_the_focus_is_never_lost_and_a_long_wait_is_estimated(site: str, visit: Visit) -> None:
    page = visit(site)
    page.clock.install()
    page.select_option("#model", "rlfn-xs")
    choose(page, picture("large.png", 900, 900), picture("next.png"), picture("last.png"), scale=4)
    cancel = page.locator('[data-do="cancel"]').first
    cancel.focus()
    page.clock.fast_forward(300_000)
    page.wait_for_selector('.state:has-text("min left")')
    assert re.fullmatch(r"Working, \d+%, about \d+ min left", page.locator(".state").first.inner_text())
    cancel.press("Enter")
    page.wait_for_selector('.picture[data-status="cancelled"]')
    focused = "document.activeElement.getAttribute('aria-label')"
    assert page.evaluate(focused) == "Run again with the options: large.png"
    page.locator(DONE).nth(1).wait_for()
    page.locator('[data-do="remove"]').nth(1).press("Enter")
    assert page.evaluate(focused) == "Remove: last.png"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_serious_fault_of_accessibility(scheme: str, site: str, visit: Visit) -> None:
    if not AXE.is_file():
        pytest.skip("axe-core is not installed: cd web && npm ci")
    page = visit(site, color_scheme=scheme, bypass_csp=True)
    choose(page, picture(), {"name": "words.png", "mimeType": "image/png", "buffer": b"no picture"})
    page.wait_for_selector(DONE)
    page.wait_for_selector('.picture[data-status="failed"]')
    page.add_script_tag(path=AXE)
    faults = page.evaluate("axe.run().then((found) => found.violations)")
    serious = [
        (fault["id"], fault["nodes"][0]["html"]) for fault in faults if fault["impact"] in ("serious", "critical")
    ]
    assert serious == []


def test_without_isolation_one_thread_does_it(plain_site: str, visit: Visit) -> None:
    page = visit(plain_site)
    assert page.evaluate("crossOriginIsolated") is False
    choose(page, picture())
    page.wait_for_selector(DONE)
    assert "1 thread" in page.inner_text("#caption .facts")


def test_after_one_visit_it_works_offline_and_isolated(plain_site: str, visit: Visit) -> None:
    page = visit(plain_site, service_workers="allow")
    page.wait_for_selector("#offline:has-text('works offline')")
    page.context.set_offline(True)
    page.reload()
    page.wait_for_selector("#model option", state="attached")
    assert page.evaluate("crossOriginIsolated") is True
    choose(page, picture())
    page.wait_for_selector(DONE)
    assert "88 × 60 px" in page.inner_text(DONE)


def test_nothing_leaves_the_device(site: str, visit: Visit) -> None:
    page = visit(site)
    asked: list[tuple[str, str]] = []
    page.context.on("request", lambda request: asked.append((request.method, request.url)))
    choose(page, picture())
    page.wait_for_selector(DONE)
    assert asked, "the model is fetched"
    assert [each for each in asked if each[0] != "GET" or not each[1].startswith((site, "blob:"))] == []
