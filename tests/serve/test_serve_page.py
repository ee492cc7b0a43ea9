"""The page in a real browser: Debian's chromium, driven by Playwright."""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rlfn.images.files import read_picture
from serving import PrefixProxy, get, metric_values, picture_bytes, post, size_of
from waiting import PATIENCE, until

playwright = pytest.importorskip("playwright.sync_api", reason="needs playwright: pip install playwright")
expect = playwright.expect


@pytest.fixture
def opened(browser: Any, listening: Any) -> Iterator[Any]:
    """Open pages of a server; what a browser complains of fails the test."""
    contexts, complaints = [], []

    def open_page(settings: dict[str, Any] | None = None, **options: Any) -> Any:
        options.setdefault("viewport", {"width": 1200, "height": 900})
        context = browser.new_context(accept_downloads=True, **options)
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.goto(listening(**(settings or {})))
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert not [text for text in complaints if "the server responded with a status of" not in text]


def give(page: Any, *files: tuple[str, bytes]) -> None:
    """Choose files."""
    expect(page.locator("#model option").first).to_be_attached()
    page.locator("#file").set_input_files(
        [{"name": name, "mimeType": "image/png", "buffer": data} for name, data in files]
    )


def row(page: Any, name: str) -> Any:
    return page.locator(".picture", has_text=name)


def test_from_the_upload_to_the_download(opened: Any) -> None:
    page = opened()
    page.locator("#format").select_option("png")
    data = picture_bytes(24, 18)
    give(page, ("flower.png", data))
    expect(row(page, "flower.png")).to_have_attribute("data-status", "done")
    expect(page.locator("#caption .name")).to_have_text("flower_x4.png")
    expect(page.locator("#caption .facts")).to_contain_text("96 × 72 px")
    expect(page.locator("#caption .facts")).to_contain_text("nearest fp32")
    expect(page.locator("compare-slider")).to_be_visible()
    expect(page.locator("#live")).to_have_text("flower.png is done.")
    with page.expect_download() as download:
        page.locator("#download").click()
    assert download.value.suggested_filename == "flower_x4.png"
    made = read_picture(Path(download.value.path()).read_bytes()).pixels
    assert np.array_equal(made, read_picture(data).pixels.repeat(4, axis=0).repeat(4, axis=1))


def test_behind_a_proxy_that_removes_a_prefix(opened: Any, listening: Any) -> None:
    page = opened()
    with PrefixProxy(listening()) as proxy:
        page.goto(proxy.address)
        give(page, ("flower.png", picture_bytes(24, 18)))
        expect(row(page, "flower.png")).to_have_attribute("data-status", "done")
        expect(page.locator("#caption .facts")).to_contain_text("96 × 72 px")
        page.goto("about:blank")
        assert not proxy.strays


def test_options_reach_the_server(opened: Any) -> None:
    page = opened()
    expect(page.locator("#quality-field")).to_be_hidden()
    page.locator("#format").select_option("webp")
    page.get_by_label("Quality, 1 to 100").fill("70")
    page.locator("label", has_text="px").click()
    page.get_by_label("Width").fill("50")
    page.locator("#restore").select_option("off")
    give(page, ("a.png", picture_bytes(20, 10)))
    expect(page.locator("#caption .name")).to_have_text("a_w50.webp")
    expect(page.locator("#caption .facts")).to_contain_text("50 × 25 px")
    expect(page.locator("#caption .facts")).to_contain_text("as asked")


def test_options_that_do_not_fit_are_said_and_nothing_begins(opened: Any) -> None:
    page = opened()
    page.locator("label", has_text="px").click()
    give(page, ("a.png", picture_bytes()))
    expect(page.get_by_role("alert")).to_have_text(
        "Enter a width or a height in pixels, or choose a factor. a.png was not added; choose again."
    )
    expect(page.get_by_label("Width")).to_be_focused()
    expect(page.get_by_label("Width")).to_have_accessible_description(re.compile("a.png was not added"))
    assert page.locator(".picture").count() == 0
    page.get_by_label("Width").fill("0")
    give(page, ("a.png", picture_bytes()))
    expect(page.get_by_role("alert")).to_contain_text("Width: enter a whole number from 1")
    page.get_by_label("Width").fill("40")
    give(page, ("a.png", picture_bytes()))
    expect(row(page, "a.png")).to_have_attribute("data-status", "done")
    expect(page.get_by_role("alert")).to_be_hidden()


def test_sizes_that_a_model_has_not_cannot_be_chosen(opened: Any) -> None:
    page = opened()
    expect(page.locator("#model option").first).to_be_attached()
    page.locator("#model").select_option("rlfn-xxs-photo")
    expect(page.locator('input[name="size"][value="4"]')).to_be_disabled()
    expect(page.locator('input[name="size"][value="2"]')).to_be_checked()


def test_the_divider_moves_by_keys_and_by_hand(opened: Any) -> None:
    page = opened()
    give(page, ("a.png", picture_bytes(60, 40)))
    divider = page.get_by_role("slider")
    expect(divider).to_have_attribute("aria-valuenow", "50")
    divider.focus()
    for key, value in (
        ("ArrowRight", "51"),
        ("Shift+ArrowRight", "61"),
        ("Home", "0"),
        ("ArrowLeft", "0"),
        ("End", "100"),
    ):
        page.keyboard.press(key)
        expect(divider).to_have_attribute("aria-valuenow", value)
    expect(divider).to_have_attribute("aria-valuetext", "100% before, 0% after")
    box = page.locator("compare-slider").bounding_box()
    middle = (box["x"] + box["width"] / 2, box["y"] + box["height"] / 4)
    page.mouse.click(*middle)
    expect(divider).to_have_attribute("aria-valuenow", "50")


CANVAS = """(slider) => {
  const canvas = slider.shadowRoot.querySelector('canvas');
  const pixel = (x, y) => [...canvas.getContext('2d').getImageData(Math.round(x * canvas.width),
    Math.round(y * canvas.height), 1, 1).data].slice(0, 3);
  return { width: canvas.width, height: canvas.height, shown: [canvas.clientWidth, canvas.clientHeight],
    left: pixel(0.25, 0.5), right: pixel(0.75, 0.5), scale: slider.scale };
}"""


def test_zoom_and_pan_on_a_dense_screen(opened: Any) -> None:
    page = opened(device_scale_factor=3)
    give(page, ("a.png", picture_bytes(60, 40)))
    slider = page.locator("compare-slider")
    expect(page.get_by_role("slider")).to_be_visible()
    until(lambda: slider.evaluate(CANVAS)["width"] == 3 * slider.evaluate(CANVAS)["shown"][0])
    found = slider.evaluate(CANVAS)
    assert found["height"] == 3 * found["shown"][1]
    fitted = found["scale"]
    slider.locator("canvas").focus()
    page.keyboard.press("1")
    assert slider.evaluate(CANVAS)["scale"] == 1
    for _ in range(8):
        page.keyboard.press("+")
    expect(slider.locator("output")).not_to_have_text("100%")
    before = slider.evaluate(CANVAS)
    assert before["scale"] > fitted
    for _ in range(3):
        page.keyboard.press("ArrowRight")
    until(lambda: slider.evaluate(CANVAS)["right"] != before["right"])
    page.keyboard.press("p")
    expect(slider.locator('[data-do="pixels"]')).to_have_attribute("aria-pressed", "true")
    page.keyboard.press("0")
    assert slider.evaluate(CANVAS)["scale"] == fitted
    page.mouse.move(*(found["shown"][axis] / 2 for axis in (0, 1)))
    page.mouse.wheel(0, -300)
    until(lambda: slider.evaluate(CANVAS)["scale"] > fitted)


def test_the_comparison_shows_both_pictures(opened: Any, gated_workers: Any) -> None:
    """What is made is told from what came in: with all pixels red, the result is made blue."""
    page = opened()
    give(page, ("a.png", picture_bytes(60, 40)))
    expect(row(page, "a.png")).to_have_attribute("data-status", "done")
    expect(page.get_by_role("slider")).to_be_visible()
    show = """async (slider) => {
      const plain = (color, side) => { const made = Object.assign(document.createElement('canvas'),
        { width: side, height: side }); const pen = made.getContext('2d'); pen.fillStyle = color;
        pen.fillRect(0, 0, side, side); return made; };
      await slider.show(plain('#f00', 10), plain('#00f', 40));
    }"""
    slider = page.locator("compare-slider")
    slider.evaluate(show)
    found = slider.evaluate(CANVAS.replace("0.25", "0.45").replace("0.75", "0.55"))
    assert (found["left"], found["right"]) == ([255, 0, 0], [0, 0, 255])


def test_progress_and_cancelling(opened: Any, gated_workers: Any, listening: Any) -> None:
    page = opened()
    gated_workers.gate.clear()
    give(page, ("a.png", picture_bytes()))
    expect(row(page, "a.png").locator(".state")).to_have_text("Working")
    expect(page.locator("#caption .facts")).to_have_text("Working")
    expect(page.locator("compare-slider")).to_be_visible()
    expect(page.get_by_role("slider")).to_be_hidden()
    expect(page.locator("#download")).to_be_hidden()
    expect(row(page, "a.png").get_by_role("progressbar")).to_be_visible()
    give(page, *((f"{name}.png", picture_bytes()) for name in "bc"))
    expect(row(page, "b.png").locator(".state")).to_contain_text("Waiting")
    row(page, "a.png").get_by_role("button", name="Cancel").press("Enter")
    expect(row(page, "a.png")).to_have_attribute("data-status", "cancelled")
    expect(row(page, "a.png").get_by_role("button", name="Run again")).to_be_focused()
    page.get_by_role("button", name="Cancel all").click()
    for name in "bc":
        expect(row(page, f"{name}.png")).to_have_attribute("data-status", "cancelled")
    until(lambda: get(f"{page.url}healthz").json() == {"status": "ok", "waiting": 0, "running": 0})
    gated_workers.gate.set()
    row(page, "a.png").get_by_role("button", name="Again").click()
    expect(row(page, "a.png")).to_have_attribute("data-status", "done")


def test_a_picture_cancelled_while_it_is_sent_is_not_worked_on(opened: Any, gated_workers: Any) -> None:
    page = opened()
    page.evaluate(
        """() => {
          const real = fetch;
          window.fetch = async (address, options) => {
            const answer = await real(address, options);
            if (options.method === 'POST') await new Promise((resolve) => { window.release = resolve; });
            return answer;
          };
        }"""
    )
    gated_workers.gate.clear()
    give(page, ("a.png", picture_bytes()))
    page.wait_for_function("() => Boolean(window.release)")
    assert get(f"{page.url}healthz").json()["running"] == 1
    row(page, "a.png").get_by_role("button", name="Cancel").click()
    expect(row(page, "a.png")).to_have_attribute("data-status", "cancelled")
    page.evaluate("() => window.release()")
    until(lambda: get(f"{page.url}healthz").json() == {"status": "ok", "waiting": 0, "running": 0})
    gated_workers.gate.set()


def test_a_server_without_room_is_asked_again(opened: Any, gated_workers: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rlfn.serve.job_queue._INITIAL_SECONDS", 0.1)  # of the seconds to wait
    page = opened({"queue": 1, "cache": 0})
    gated_workers.gate.clear()
    for width in (30, 31):
        post(f"{page.url}v1/jobs?width={width}", content=picture_bytes())
    give(page, ("a.png", picture_bytes()))
    until(lambda: metric_values(get(f"{page.url}metrics")).get(BUSY, 0) > 0)
    gated_workers.gate.set()
    expect(row(page, "a.png")).to_have_attribute("data-status", "done", timeout=PATIENCE * 1000)


BUSY = 'rlfn_http_requests_total{method="POST",route="/v1/jobs",status="429"}'


def test_errors_are_the_packages_sentences(opened: Any) -> None:
    page = opened()
    give(page, ("notes.txt", b"no picture"), ("a.png", picture_bytes()))
    expect(row(page, "notes.txt").locator(".state")).to_contain_text("The given data is not a picture that rlfn knows.")
    expect(row(page, "a.png")).to_have_attribute("data-status", "done")


def test_warnings_are_shown(opened: Any) -> None:
    page = opened()
    page.locator("#format").select_option("png")
    expect(page.locator("#model option").first).to_be_attached()
    page.locator("#quality").evaluate("(field) => { field.value = '80'; field.closest('.field').hidden = false; }")
    give(page, ("a.png", picture_bytes()))
    expect(row(page, "a.png").locator(".warnings li")).to_have_text("quality 80 ignored: PNG keeps every pixel")


def test_all_as_one_zip(opened: Any) -> None:
    page = opened()
    give(page, ("a.png", picture_bytes(10, 8)), ("b.png", picture_bytes(12, 8)), ("a.png", picture_bytes(14, 8)))
    with page.expect_download() as download:
        page.get_by_role("button", name="Download all (zip)").click(timeout=PATIENCE * 1000)
        expect(page.locator("#pictures-title")).to_have_text("3 pictures, 3 done")
    with zipfile.ZipFile(io.BytesIO(Path(download.value.path()).read_bytes())) as archive:
        assert archive.testzip() is None
        sizes = {name: size_of(archive.read(name)) for name in archive.namelist()}
    assert sizes.items() <= {"a_x4.png": (40, 32), "b_x4.png": (48, 32), "a (2)_x4.png": (56, 32)}.items()
    assert len(sizes) >= 2


DROP = """([name, bytes, kind]) => {
  const transfer = new DataTransfer();
  transfer.items.add(new File([new Uint8Array(bytes)], name, { type: 'image/png' }));
  const event = kind === 'paste' ? new ClipboardEvent('paste', { clipboardData: transfer, bubbles: true })
    : new DragEvent('drop', { dataTransfer: transfer, bubbles: true, cancelable: true });
  document.body.dispatchEvent(event);
}"""


@pytest.mark.parametrize("kind", ["drop", "paste"])
def test_pictures_dropped_and_pasted(opened: Any, kind: str) -> None:
    page = opened()
    expect(page.locator("#model option").first).to_be_attached()
    page.evaluate(DROP, ["a.png", list(picture_bytes()), kind])
    expect(row(page, "a.png")).to_have_attribute("data-status", "done")


FOCUSED = """(() => {
  const one = document.activeElement;
  return one.shadowRoot?.activeElement?.className || one.id;
})()"""


def test_by_keyboard_alone(opened: Any) -> None:
    page = opened()
    expect(page.locator("#model option").first).to_be_attached()
    page.keyboard.press("Tab")
    expect(page.locator(".skip")).to_be_focused()
    with page.expect_file_chooser() as chooser:
        for _ in range(5):
            page.keyboard.press("Tab")
            if page.locator("#choose").evaluate("(one) => one === document.activeElement"):
                break
        page.keyboard.press("Enter")
    chooser.value.set_files([{"name": "a.png", "mimeType": "image/png", "buffer": picture_bytes()}])
    expect(row(page, "a.png")).to_have_attribute("data-status", "done")
    reached = []
    for _ in range(12):
        page.keyboard.press("Shift+Tab")
        reached.append(page.evaluate(FOCUSED))
        if "divider" in reached:
            break
    assert "download" in reached
    assert reached[-1] == "divider"
    remove = row(page, "a.png").get_by_role("button", name="Remove: a.png")
    for _ in range(20):
        page.keyboard.press("Tab")
        if remove.evaluate("(one) => one === document.activeElement"):
            break
    page.keyboard.press("Enter")
    expect(page.locator(".picture")).to_have_count(0)
    expect(page.locator("compare-slider")).to_be_hidden()
    expect(page.locator("#choose")).to_be_focused()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_on_a_phone(opened: Any, scheme: str) -> None:
    page = opened(
        viewport={"width": 360, "height": 740},
        device_scale_factor=3,
        is_mobile=True,
        has_touch=True,
        color_scheme=scheme,
    )
    give(page, ("a-name-that-is-much-too-long-for-the-narrow-screen-of-a-phone.png", picture_bytes(40, 60)))
    expect(page.locator(".picture")).to_have_attribute("data-status", "done")
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    for button in page.get_by_role("button").all():
        if button.is_visible():
            box = button.bounding_box()
            assert min(box["width"], box["height"]) >= 40, button.inner_text()
    shade = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (int(shade.split("(")[1].split(",")[0]) < 100) == (scheme == "dark")


def test_the_colours_that_were_chosen_stay(opened: Any) -> None:
    page = opened(color_scheme="light")
    page.get_by_role("button", name="Use dark colours").click()
    page.reload()
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")
    expect(page.get_by_role("button", name="Use light colours")).to_be_visible()


def test_a_key_is_asked_for_where_one_is_needed(opened: Any) -> None:
    page = opened({"keys": ("k" * 20,)})
    field = page.get_by_label("API key")
    expect(field).to_be_visible()
    expect(page.get_by_role("alert")).to_contain_text("An API key is required.")
    field.fill("k" * 20)
    field.press("Tab")
    expect(page.get_by_role("alert")).to_be_hidden()
    give(page, ("a.png", picture_bytes()))
    expect(row(page, "a.png")).to_have_attribute("data-status", "done")


APP = Path(__file__).parents[2] / "web" / "dist"


@pytest.mark.skipif(not (APP / "index.html").is_file(), reason="needs the built browser app: npm run build, in web/")
def test_the_browser_app_runs_beside_the_page(opened: Any) -> None:
    page = opened({"app": APP})
    page.get_by_role("link", name="On your device").click()
    expect(page).to_have_url(re.compile("/app/$"))
    expect(page.locator("#model option").first).to_be_attached()
    assert page.evaluate("crossOriginIsolated")
    give(page, ("a.png", picture_bytes(40, 30)))
    expect(row(page, "a.png")).to_have_attribute("data-status", "done", timeout=PATIENCE * 1000)
