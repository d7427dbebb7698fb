"""A photograph asks by the page, in Chromium."""

import base64
import shutil

import numpy as np
import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright import sync_api as playwright
from support import photo
from support.service import BODIES, make_database, serving

from dr3d.mesh import make_mesh

pytest.importorskip("cv2")
CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
if CHROMIUM is None:
  pytest.skip("no Chromium is installed", allow_module_level=True)

SLOW = 60_000  # milliseconds; other tests run at the same time
SIZES = [(1280, 800), (390, 844)]

expect = playwright.expect
expect.set_options(timeout=SLOW)


def draw(name, **options):
  body = BODIES[name]
  return photo.photograph(make_mesh(body.vertices, body.faces), **options)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
  """A database, a photograph of two models, and two of one."""
  folder = tmp_path_factory.mktemp("photo")
  make_database(folder)
  both = np.concatenate(
    [draw("round/rod #1.stl"), draw("box/flat.stl", view=3)], axis=1
  )
  (folder / "both.png").write_bytes(photo.to_png(both))
  for view in (1, 2):
    pixels = draw("round/rod #1.stl", view=view)
    (folder / f"rod-{view}.png").write_bytes(photo.to_png(pixels))
  (folder / "empty.png").write_bytes(
    photo.to_png(np.full((60, 60, 3), 99, np.uint8))
  )
  return folder


@pytest.fixture(scope="module")
def address(folder):
  with photo.standing_in(), serving(folder / "parts.db") as (client, _):
    yield f"{str(client.base_url).rstrip('/')}/"


@pytest.fixture(scope="module")
def browser():
  with playwright.sync_playwright() as play:
    browser = play.chromium.launch(executable_path=CHROMIUM)
    yield browser
    browser.close()


@pytest.fixture(params=SIZES, ids=["desktop", "phone"])
def page(request, browser, address):
  """The first page, which must log no error."""
  width, height = request.param
  page = browser.new_page(viewport={"width": width, "height": height})
  page.set_default_timeout(SLOW)
  errors = []
  page.on("pageerror", lambda error: errors.append(str(error)))
  page.goto(address)
  page.wait_for_selector(".drop")
  yield page
  assert errors == []
  page.close()


def fits(page):
  wide = page.evaluate("document.documentElement.scrollWidth")
  return wide <= page.viewport_size["width"]


def models(page):
  return page.eval_on_selector_all(
    ".card", "all => all.map(one => one.dataset.model)"
  )


def brightness(page):
  """Mean of the shown mask's picture: left half, right half."""
  return page.eval_on_selector(
    "img.mask",
    """async (image) => {
      await image.decode();
      const canvas = document.createElement("canvas");
      [canvas.width, canvas.height] = [image.naturalWidth, image.naturalHeight];
      const pen = canvas.getContext("2d");
      pen.drawImage(image, 0, 0);
      const half = canvas.width / 2;
      return [0, half].map((x) => {
        const { data } = pen.getImageData(x, 0, half, canvas.height);
        let blue = 0;
        for (let k = 0; k < data.length; k += 4)
          blue += Math.max(0, data[k + 2] - data[k]);
        return blue / data.length;
      });
    }""",
  )


def test_camera_input_asks_for_pictures(page):
  camera = page.locator("#photograph")
  assert camera.get_attribute("accept") == "image/*"
  assert camera.get_attribute("capture") == "environment"
  expect(page.get_by_text("Take a photograph")).to_be_visible()
  assert fits(page)


def test_photograph_is_answered_with_mask_and_best_views(page, folder):
  page.set_input_files("#photograph", folder / "rod-1.png")
  page.wait_for_selector(".card")
  assert models(page)[0] == "round/rod #1.stl"
  expect(page.locator("img.mask")).to_have_attribute("data-source", "border")
  assert sum(brightness(page)) > 2  # the blue rod is bright, all else grey
  view = page.locator(".card >> nth=0 >> img")
  expect(view).to_have_js_property("naturalWidth", 128)
  assert "photo-views" in view.get_attribute("src")
  assert fits(page)
  violations = Axe().run(page).response["violations"]
  assert [v["id"] for v in violations] == []


def test_dragged_box_chooses_the_thing(page, folder):
  page.set_input_files("#photograph", folder / "both.png")
  page.wait_for_selector(".card")
  frame = page.locator(".crop-frame")
  frame.scroll_into_view_if_needed()
  box = frame.bounding_box()
  scale = box["width"] / 400
  page.mouse.move(box["x"] + 212 * scale, box["y"] + 12 * scale)
  page.mouse.down()
  page.mouse.move(box["x"] + 300 * scale, box["y"] + 90 * scale, steps=4)
  page.mouse.move(box["x"] + 388 * scale, box["y"] + 188 * scale, steps=4)
  page.mouse.up()
  page.wait_for_selector("img.mask[data-source=box]")
  assert models(page)[0] == "box/flat.stl"
  left, right = brightness(page)
  assert right > 0.5
  assert left < right / 10
  x, y, w, h = (int(part) for part in page.url.split("region=")[1].split("%2C"))
  assert (x, y, w, h) == pytest.approx((212, 12, 176, 176), abs=3)
  expect(page.locator(".crop-box")).to_be_visible()
  page.reload()
  page.wait_for_selector("img.mask[data-source=box]")
  assert models(page)[0] == "box/flat.stl"
  page.get_by_role("button", name="Whole picture").click()
  page.wait_for_selector("img.mask[data-source=border]")
  expect(page.locator(".crop-box")).to_be_hidden()
  assert fits(page)


def test_box_can_be_typed(page, folder):
  page.set_input_files("#photograph", folder / "both.png")
  page.wait_for_selector(".card")
  page.get_by_text("Box in numbers").click()
  for name, value in zip(
    ("Left", "Top", "Width", "Height"), ("10", "10", "180", "180"), strict=True
  ):
    page.get_by_label(name, exact=True).fill(value)
  page.get_by_role("button", name="Search in this box").click()
  page.wait_for_selector("img.mask[data-source=box]")
  assert models(page)[0] == "round/rod #1.stl"


def test_several_photographs_are_one_query(page, folder):
  page.set_input_files("#file", [folder / "rod-1.png", folder / "rod-2.png"])
  page.wait_for_selector(".card")
  assert page.locator("img.mask").count() == 2
  assert models(page)[0] == "round/rod #1.stl"
  expect(page.locator("h1")).to_contain_text("2 photographs")
  assert fits(page)


def test_photograph_without_a_thing_says_what_to_do(page, folder):
  page.set_input_files("#photograph", folder / "empty.png")
  expect(page.locator(".notice.error")).to_contain_text("give a box around")
  expect(page.locator(".crop-frame")).to_be_visible()  # a box can be dragged


def test_dropped_photograph_is_recognised(page, folder):
  data = base64.b64encode((folder / "rod-1.png").read_bytes()).decode()
  page.evaluate(
    """(data) => {
      const bytes = Uint8Array.from(atob(data), (one) => one.charCodeAt(0));
      const transfer = new DataTransfer();
      transfer.items.add(new File([bytes], "rod.png", { type: "image/png" }));
      document.body.dispatchEvent(new DragEvent("drop", {
        dataTransfer: transfer, bubbles: true, cancelable: true,
      }));
    }""",
    data,
  )
  page.wait_for_selector(".card")
  assert "#/photo" in page.url
