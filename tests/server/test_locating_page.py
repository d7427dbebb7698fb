"""A photograph on a model's page, in Chromium, at two sizes of the window."""

import shutil

import numpy as np
import pytest
from PIL import Image
from playwright import sync_api as playwright
from support.service import make_database, serving

from dr3d.locate.instance import make_instance
from dr3d.server import locating

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
if CHROMIUM is None:
  pytest.skip("no Chromium is installed", allow_module_level=True)

SLOW = 60_000  # milliseconds; other tests run at the same time


class _Finder:
  """Finds one box in every wide picture."""

  def prepare(self, query, *, box=None):
    return None

  def search(self, query, medium):
    heat = np.zeros(medium.shape[:2], np.float32)
    if medium.shape[1] <= medium.shape[0]:
      return [], heat
    mask = np.zeros(medium.shape[:2], bool)
    mask[40:120, 60:200] = True
    return [make_instance(mask, 0.93, 0)], heat


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
  folder = tmp_path_factory.mktemp("page")
  make_database(folder)
  for name, size in (("wide", (1200, 800)), ("tall", (600, 900))):
    Image.new("RGB", size, (200, 180, 60)).save(folder / f"{name}.jpg")
  (folder / "text.jpg").write_text("no picture")
  return folder


@pytest.fixture(scope="module")
def address(folder):
  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(locating, "load_locator", _Finder)
    with serving(folder / "parts.db") as (client, _):
      yield str(client.base_url)


@pytest.fixture(scope="module")
def browser():
  with playwright.sync_playwright() as play:
    browser = play.chromium.launch(executable_path=CHROMIUM)
    yield browser
    browser.close()


@pytest.mark.parametrize("width", [1280, 390])
def test_photo_on_the_page_of_a_model_comes_back_lit(
  browser, address, folder, width
):
  page = browser.new_page(viewport={"width": width, "height": 844})
  page.set_default_timeout(SLOW)
  page.goto(f"{address}/#/model/{'box/flat.stl'.replace('/', '%2F')}")
  chooser = "#locate-picture"
  page.wait_for_selector(chooser, state="attached")
  page.set_input_files(chooser, folder / "wide.jpg")
  page.wait_for_selector(".located img")
  assert "Found once" in page.inner_text(".located")
  assert "93 % sure" in page.inner_text(".located")
  box = page.locator(".located img").bounding_box()
  assert box["width"] / box["height"] == pytest.approx(1.5, abs=0.02)
  assert box["x"] >= 0
  assert box["x"] + box["width"] <= width
  scroll = page.evaluate("document.documentElement.scrollWidth")
  assert scroll <= width
  lit = page.get_attribute(".located img", "src")
  page.click("text=Heat map")
  assert page.get_attribute(".located img", "src") != lit
  page.set_input_files(chooser, folder / "tall.jpg")
  page.wait_for_selector("text=Not in this photo")
  page.set_input_files(chooser, folder / "text.jpg")
  page.wait_for_selector("text=The photo was not searched")
  page.close()
