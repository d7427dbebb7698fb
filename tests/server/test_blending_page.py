"""Shapes between two models on a model's page, at two sizes of the window."""

import shutil

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright import sync_api as playwright
from support.service import make_database, serving
from support.shapes import make_model

from dr3d.server import blending

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
if CHROMIUM is None:
  pytest.skip("no Chromium is installed", allow_module_level=True)

SLOW = 60_000  # milliseconds; other tests run at the same time
PAGE = "#/model/box%2Fflat.stl"
VIEWER = ".blend .viewer[data-drawn=model]"


@pytest.fixture(scope="module")
def address(tmp_path_factory):
  database = make_database(tmp_path_factory.mktemp("page"))
  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(blending, "load_model", make_model)
    with serving(database.directory) as (client, _):
      yield str(client.base_url)


@pytest.fixture(scope="module")
def browser():
  with playwright.sync_playwright() as play:
    browser = play.chromium.launch(
      executable_path=CHROMIUM,
      args=["--use-angle=swiftshader", "--enable-unsafe-swiftshader"],
    )
    yield browser
    browser.close()


@pytest.fixture
def visit(browser, address):
  opened, errors = [], []

  def visit(width):
    page = browser.new_page(viewport={"width": width, "height": 844})
    page.set_default_timeout(SLOW)
    page.on("pageerror", lambda error: errors.append(str(error)))
    opened.append(page)
    page.goto(f"{address}/{PAGE}")
    page.wait_for_selector(".facts-table")
    return page

  yield visit
  for page in opened:
    page.close()
  assert errors == []


@pytest.mark.parametrize("width", [1280, 390])
def test_slider_moves_a_shape_from_one_model_to_another(visit, width):
  page = visit(width)
  assert page.locator(".blend .viewer").count() == 0
  asked = []
  page.on("request", lambda request: asked.append(request.url))
  page.get_by_role("button", name="Choose a similar model").click()
  page.wait_for_selector(VIEWER)
  chosen = page.locator(".blend [aria-pressed=true]")
  assert chosen.count() == 1
  other = chosen.get_attribute("data-model")
  assert other != "box/flat.stl"
  slider = page.get_by_label("Share of the other model")
  assert "50 % flat, 50 %" in slider.get_attribute("aria-valuetext")
  before = page.locator(".blend canvas").screenshot()
  slider.press("End")
  page.wait_for_selector(".blend-view[data-share='1'][aria-busy=false]")
  assert "0 % flat, 100 %" in page.locator(".blend output").inner_text()
  page.wait_for_timeout(300)
  assert page.locator(".blend canvas").screenshot() != before
  shares = [url.split("share=")[1] for url in asked if "blend.glb" in url]
  assert shares == ["0.5", "1"]
  for box in page.locator(".blend *").all():
    place = box.bounding_box()
    if place:
      assert place["x"] >= 0
      assert place["x"] + place["width"] <= width + 1
  assert page.evaluate("document.documentElement.scrollWidth") <= width
  found = Axe().run(page).response["violations"]
  assert [(each["id"], each["nodes"][0]["html"]) for each in found] == []


def test_another_model_can_be_chosen(visit):
  page = visit(900)
  page.get_by_role("button", name="Choose a similar model").click()
  page.wait_for_selector(VIEWER)
  second = page.locator(".blend-models button").nth(1)
  second.click()
  stem = second.get_attribute("data-model").split("/")[-1].split(".")[0]
  text = f"50 % flat, 50 % {stem}"
  page.wait_for_selector(f".blend output:has-text('{text}')")
  page.wait_for_selector(VIEWER)
  assert page.locator(".blend [aria-pressed=true]").count() == 1
  assert page.locator(".blend .viewer").count() == 1


def test_service_that_fails_says_so_and_tries_again(visit):
  page = visit(900)
  page.route("**/blend.glb*", lambda route: route.fulfill(status=500))
  page.get_by_role("button", name="Choose a similar model").click()
  page.wait_for_selector("text=There is no shape here")
  page.unroute("**/blend.glb*")
  page.get_by_role("button", name="Try again").click()
  page.wait_for_selector(VIEWER)


def test_page_offers_nothing_without_the_network(visit, monkeypatch):
  monkeypatch.setattr(blending, "is_available", lambda: False)
  page = visit(900)
  assert page.locator(".locate").count() == 1
  assert page.locator(".blend").count() == 0
