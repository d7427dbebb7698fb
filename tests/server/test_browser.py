"""The page in Chromium, on a small database, by mouse and by keyboard."""

import base64
import io
import re
import shutil

import numpy as np
import pytest
import trimesh
from PIL import Image
from playwright import sync_api as playwright
from scipy.spatial.transform import Rotation
from support.service import serving
from support.standin import MeasuringPipeline

from dr3d.database.writer import Database
from dr3d.server import preview

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
if CHROMIUM is None:
  pytest.skip("no Chromium is installed", allow_module_level=True)

VIEWER = ".viewer[data-drawn=model]"
SECOND = f".pane + .pane {VIEWER}"
SLOW = 60_000  # milliseconds; other tests run at the same time

expect = playwright.expect
expect.set_options(timeout=SLOW)


def make_shapes():
  """Fifty models: ten of each label, each with other proportions."""
  rng = np.random.default_rng(0)
  for number in range(10):
    a, b, c = rng.uniform(0.8, 1.25, 3)
    shapes = {
      "plate": trimesh.creation.box((40 * a, 25 * b, 4 * c)),
      "rod": trimesh.creation.cylinder(4 * a, 50 * b, sections=16),
      "ring": trimesh.creation.annulus(9 * a, 16 * b, 6 * c, sections=20),
      "cone": trimesh.creation.cone(12 * a, 30 * b, sections=16),
      "ball": trimesh.creation.capsule(6 * b, 12 * a, count=(8, 8)),
    }
    for label, shape in shapes.items():
      yield label, f"{label}/{label}-{number}.stl", shape


def move(mesh):
  """The mesh in another position and pose."""
  place = np.eye(4)
  place[:3, :3] = Rotation.from_rotvec([1, 2, 0.5]).as_matrix()
  place[:3, 3] = 5, 3, 1
  return mesh.copy().apply_transform(place)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
  """A database of 51 models, one of them twice as large, and query files."""
  folder = tmp_path_factory.mktemp("browser")
  shapes = {name: shape for _, name, shape in make_shapes()}
  shapes["plate/large.stl"] = move(shapes["plate/plate-3.stl"]).apply_scale(2)
  for name, shape in shapes.items():
    path = folder / "models" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    shape.export(path)
  (folder / "models" / "broken.stl").write_text("no mesh")
  database = Database.create(folder / "parts.db", MeasuringPipeline())
  database.update(folder / "models")
  move(shapes["plate/plate-3.stl"]).export(folder / "found.stl")
  trimesh.creation.box((27, 22, 13)).export(folder / "block.obj")
  (folder / "bad.stl").write_text("solid nothing\nendsolid nothing\n")
  (folder / "notes.txt").write_text("not a model")
  return folder


@pytest.fixture(scope="module")
def address(folder):
  """Where the service answers."""
  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(preview, "with_white_light", lambda pipeline: pipeline)
    with serving(folder / "parts.db") as (client, _):
      yield f"{client.base_url}/".replace("//", "/").replace(":/", "://")


@pytest.fixture(scope="module")
def browser():
  with playwright.sync_playwright() as play:
    browser = play.chromium.launch(
      executable_path=CHROMIUM,
      args=[
        "--use-angle=swiftshader",
        "--enable-unsafe-swiftshader",
        "--disable-gpu-rasterization",
        "--renderer-process-limit=1",
      ],
    )
    yield browser
    browser.close()


@pytest.fixture(scope="module")
def context(browser):
  """A window of a common size, which most tests share."""
  return browser.new_context(viewport={"width": 900, "height": 640})


@pytest.fixture
def visit(browser, context, address):
  """Opens pages, which must log no error and request no other host."""
  opened, errors, urls = [], [], []

  def visit(hash="", *, script="", ignore="", **options):
    page = (browser.new_context(**options) if options else context).new_page()
    page.set_default_timeout(SLOW)
    opened.append(page)
    if script:
      page.add_init_script(script)

    def log_error(text):
      if not (ignore and re.search(ignore, text)):
        errors.append(text)

    page.on("pageerror", lambda error: log_error(str(error)))
    page.on(
      "console",
      lambda message: message.type == "error" and log_error(message.text),
    )
    page.on("request", lambda request: urls.append(request.url))
    page.goto(f"{address}{hash}")
    return page

  yield visit
  for page in opened:
    page.close()
  assert errors == []
  own = (address, "data:", "blob:")
  assert [url for url in urls if not url.startswith(own)] == []


def drop(page, path):
  """Drops a file on the page."""
  page.wait_for_selector(".drop")
  page.evaluate(
    """([name, data]) => {
      const bytes = Uint8Array.from(atob(data), (one) => one.charCodeAt(0));
      const dataTransfer = new DataTransfer();
      dataTransfer.items.add(new File([bytes], name));
      for (const kind of ["dragenter", "dragover", "drop"]) {
        document.body.dispatchEvent(new DragEvent(kind, {
          dataTransfer, bubbles: true, cancelable: true,
        }));
      }
    }""",
    [path.name, base64.b64encode(path.read_bytes()).decode()],
  )


def ask(page, path):
  """Drops a file and waits for the answer."""
  drop(page, path)
  page.wait_for_selector(".card")


def models(page, place=".card"):
  return page.eval_on_selector_all(
    place, "all => all.map(one => one.dataset.model)"
  )


def screenshot(viewer):
  """The pixels of a viewer, float [H, W]."""
  png = viewer.locator("canvas").screenshot()
  return np.asarray(Image.open(io.BytesIO(png)).convert("L"), float)


# ----- asking ----------------------------------------------------------------


def test_dropped_file_shows_matches_and_views(visit, folder):
  page = visit()
  ask(page, folder / "found.stl")
  assert {"plate/plate-3.stl", "plate/large.stl"} == set(models(page)[:2])
  prediction = page.locator(".prediction")
  assert prediction.locator(".notice-title").inner_text() == "plate"
  assert "Accepted, with 100" in prediction.inner_text()
  assert len(models(page)) == 10
  first = page.locator(".card[data-model='plate/plate-3.stl']")
  assert "Same shape" in first.inner_text()
  large = page.locator(".card[data-model='plate/large.stl']").inner_text()
  assert "2 times as large" in large
  assert re.search(r"Score\s+1.000\s+Votes\s+\d of 2", first.inner_text())
  other = page.locator(".card").nth(4).inner_text()
  assert re.search(r"Distance \d+\.\d\s% of the radius", other)
  assert page.locator(".pair img").count() == 20
  page.wait_for_selector(VIEWER)
  assert page.locator(".view img").count() == 2
  for image in page.locator(".view img").all():
    expect(image).to_have_js_property("naturalWidth", 128)
  expect(page.locator("#live-region")).to_contain_text("plate")
  assert "found.stl" in page.title()


def test_opened_match_rotates_with_the_query(visit, folder):
  page = visit()
  ask(page, folder / "found.stl")
  page.click(".card >> nth=1 >> [data-do=compare]")
  page.wait_for_selector(SECOND)
  opened = models(page)[1]
  assert page.locator(".pane + .pane h2").get_attribute("title") == opened
  assert page.locator(".view.paired").count() == 2
  query, match = page.locator(VIEWER).all()
  seen = page.locator(".view[aria-pressed=true]")
  expect(seen).to_have_count(2)  # both have come to lie as in the pair
  number = page.locator(".view.paired .view-number").first.inner_text()
  before = screenshot(match)
  query.press("ArrowRight")
  expect(seen).to_have_count(0)
  assert np.abs(screenshot(match) - before).mean() > 1
  query.press(number)
  expect(seen).to_have_count(2)
  page.get_by_role("button", name="Rotate together").click()
  match.press("ArrowUp")
  expect(seen).to_have_count(1)


def test_back_and_reload_restore_the_view(visit, folder):
  page = visit()
  ask(page, folder / "found.stl")
  page.click(".card >> nth=1 >> [data-do=compare]")
  page.wait_for_selector(SECOND)
  here = page.url
  page.reload()
  page.wait_for_selector(SECOND)
  assert page.url == here
  page.go_back()
  page.wait_for_selector(".stage.single")
  assert page.locator(".card").count() == 10
  page.go_forward()
  page.wait_for_selector(SECOND)


def test_filters_restrict_the_matches(visit, folder):
  page = visit()
  ask(page, folder / "found.stl")
  page.select_option("select[aria-label='More labels']", "cone")
  first = page.locator(".card").first
  expect(first).to_have_attribute("data-model", re.compile("^cone/"))
  assert {name.split("/")[0] for name in models(page)} == {"cone"}
  assert "label=cone" in page.url
  page.select_option("select[aria-label=Size]", "0.02")
  page.wait_for_selector("text=No model meets these filters")
  assert models(page) == []
  page.locator(".notice").get_by_role("link").click()
  page.wait_for_selector(".card[data-model='plate/plate-3.stl']")
  page.select_option("select[aria-label=Size]", "0.02")
  page.wait_for_selector(
    ".card[data-model='plate/large.stl']", state="detached"
  )
  assert models(page)[0] == "plate/plate-3.stl"


def test_ambiguous_query_is_not_accepted(visit, folder):
  page = visit()
  ask(page, folder / "block.obj")
  text = page.locator(".notice.warning").inner_text()
  assert "Not accepted" in text
  assert "models of other labels are nearly as similar" in text
  expect(page.locator("#live-region")).to_contain_text("Not accepted")


def test_unknown_class_is_not_accepted(visit, folder):
  page = visit()

  def reject_reason(route):
    answer = route.fetch()
    values = answer.json()
    values["prediction"] |= {"accepted": False, "reject_reason": "unknown"}
    route.fulfill(response=answer, json=values)

  page.route("**/api/query*", reject_reason)
  ask(page, folder / "found.stl")
  text = page.locator(".notice.warning").inner_text()
  assert "Not accepted" in text
  assert "plate has 100" in text
  assert "the database may lack this class" in text


def test_find_similar_searches_from_a_match(visit, folder):
  page = visit()
  ask(page, folder / "found.stl")
  page.click(".card[data-model='plate/plate-3.stl'] [data-do=search]")
  page.wait_for_selector(
    ".card[data-model='plate/plate-3.stl']", state="detached"
  )
  page.wait_for_selector(".card")
  page.wait_for_selector(VIEWER)
  assert "#/like/plate%2Fplate-3.stl" in page.url
  assert models(page)[0] == "plate/large.stl"
  assert "plate/plate-3.stl" not in models(page)


# ----- what goes wrong -------------------------------------------------------


def test_bad_file_shows_its_name_and_what_to_do(visit, folder):
  page = visit(ignore="status of 4")
  drop(page, folder / "bad.stl")
  alert = page.wait_for_selector("[role=alert]").inner_text()
  assert "This file cannot be used" in alert
  assert "bad.stl" in alert
  page.get_by_role("link", name="Choose another file").click()
  page.wait_for_selector(".drop")


def test_unknown_format_is_rejected_before_upload(visit, folder):
  page = visit()
  sent = []
  page.on("request", lambda request: sent.append(request.method))
  drop(page, folder / "notes.txt")
  alert = page.wait_for_selector("[role=alert]").inner_text()
  assert "notes.txt is not a model file" in alert
  assert ".stl" in alert
  assert "POST" not in sent


def test_busy_service_is_retried(visit, folder):
  page = visit(ignore="status of 503")
  rejected = []

  def reject_once(route):
    if rejected:
      return route.continue_()
    rejected.append(route.request.url)
    route.fulfill(
      status=503, headers={"Retry-After": "1"}, json={"detail": "Busy."}
    )

  page.route("**/api/query*", reject_once)
  drop(page, folder / "found.stl")
  page.wait_for_selector("text=The service is busy")
  page.wait_for_selector(".card")
  assert len(rejected) == 1


def test_lost_connection_is_shown_and_can_be_retried(visit, folder):
  page = visit(ignore="ERR_FAILED")
  page.wait_for_selector(".drop")
  page.route("**/api/query*", lambda route: route.abort())
  drop(page, folder / "found.stl")
  alert = page.wait_for_selector("[role=alert]").inner_text()
  assert "check that dr3d serve is running" in alert
  page.unroute("**/api/query*")
  page.get_by_role("button", name="Try again").click()
  page.wait_for_selector(".card")


def test_slow_upload_shows_progress_and_can_be_cancelled(visit, folder):
  page = visit()
  page.wait_for_selector(".drop")
  # Only large bodies come in pieces whose number can be told.
  large = np.random.default_rng(0).bytes(600_000)
  network = page.context.new_cdp_session(page)
  network.send(
    "Network.emulateNetworkConditions",
    {
      "offline": False,
      "latency": 0,
      "downloadThroughput": -1,
      "uploadThroughput": 100_000,
    },
  )
  page.set_input_files(
    "#file",
    {"name": "large.stl", "mimeType": "model/stl", "buffer": large},
  )
  expect(page.locator(".progress-text")).to_have_text(
    re.compile("Sending the file: [1-9]")
  )
  share = page.eval_on_selector("progress", "bar => bar.value")
  assert 0 < share < 1
  page.get_by_role("button", name="Cancel").click()
  page.wait_for_selector(".drop")
  assert page.url.endswith("#/")


# ----- the other pages -------------------------------------------------------


def test_catalogue_has_pages_and_filters(visit):
  page = visit("#/models")
  page.wait_for_selector("text=52 models")
  assert page.locator(".tile").count() == 48
  page.click("[aria-label='Next page']")
  expect(page.locator(".tile")).to_have_count(4)
  page.go_back()
  expect(page.locator(".tile")).to_have_count(48)
  page.fill("input[name=text]", "CONE-1")
  expect(page.locator(".tile")).to_have_count(1)
  assert models(page, ".tile") == ["cone/cone-1.stl"]
  page.click(".tile a")
  page.wait_for_selector(VIEWER)
  assert "True size" in page.locator(".facts-table").inner_text()
  with page.expect_download() as download:
    page.click("text=Original file")
  assert download.value.suggested_filename == "cone-1.stl"


def test_duplicates_open_a_comparison(visit):
  page = visit("#/duplicates")
  # Others that are similar to the two may stand in their group.
  group = page.locator(".group", has_text="large.stl")
  group.wait_for()
  assert "2 times as large" in group.inner_text().replace("0.5", "2")
  group.locator("text=Compare").first.click()
  page.wait_for_selector(SECOND)
  titles = page.locator(".pane h2").all_inner_texts()
  assert set(titles) == {"plate-3.stl", "large.stl"}


def test_database_page_lists_failed_files(visit):
  page = visit("#/database")
  text = page.wait_for_selector(".failures").inner_text()
  assert "broken.stl" in text
  assert page.locator(".counts .figure").all_inner_texts()[:2] == ["51", "1"]
  page.click(".failures a")
  alert = page.wait_for_selector("[role=alert]").inner_text()
  assert "This file cannot be indexed" in alert
  assert "Repair the file" in alert


# ----- for everybody ---------------------------------------------------------


def test_keyboard_reaches_everything(visit):
  page = visit()
  page.wait_for_selector(".drop")
  page.keyboard.press("Tab")
  assert page.evaluate("document.activeElement.id") == "skip"
  page.keyboard.press("Enter")
  page.keyboard.press("Tab")
  assert page.evaluate("document.activeElement.id") == "file"
  frame = page.eval_on_selector(
    ".drop-label", "label => getComputedStyle(label).outlineStyle"
  )
  assert frame == "solid"
  page.keyboard.press("Tab")
  page.keyboard.type("plate-3")
  page.wait_for_selector("[role=option][aria-selected=true]")
  page.keyboard.press("Enter")
  page.wait_for_selector(".card")
  page.focus(".card >> nth=0 >> [data-do=compare]")
  page.keyboard.press("Enter")
  page.wait_for_selector(SECOND)
  expect(page.locator(".pane + .pane h2")).to_be_focused()
  page.keyboard.press("Escape")
  page.wait_for_selector(".stage.single")
  expect(page.locator(".card [data-do=compare]").first).to_be_focused()


def test_browser_without_webgl_shows_the_views(visit, folder):
  page = visit(
    script="""
      const get = HTMLCanvasElement.prototype.getContext;
      HTMLCanvasElement.prototype.getContext = function (kind, ...rest) {
        return kind.startsWith("webgl") ? null : get.call(this, kind, ...rest);
      };
    """
  )
  ask(page, folder / "found.stl")
  page.wait_for_selector(".viewer[data-drawn=images]")
  page.wait_for_selector("text=View 1 of 2")
  page.click("[aria-label='Next view']")
  page.wait_for_selector("text=View 2 of 2")
  assert page.locator(".view[aria-pressed=true]").count() == 1
  page.click(".card >> nth=0 >> [data-do=compare]")
  page.wait_for_selector(".pane + .pane .viewer[data-drawn=images]")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_phone_needs_no_horizontal_scrolling(visit, folder, scheme):
  size = {"width": 360, "height": 740}
  page = visit(viewport=size, color_scheme=scheme)
  ask(page, folder / "found.stl")
  page.click(".card >> nth=0 >> [data-do=compare]")
  page.wait_for_selector(SECOND)
  paper = page.evaluate("getComputedStyle(document.body).backgroundColor")
  light = sum(map(int, re.findall(r"\d+", paper)[:3])) > 382
  assert light == (scheme == "light")
  for hash in ("", "#/models", "#/duplicates", "#/database"):
    if hash:
      page.evaluate(f"location.hash = '{hash}'")
      page.wait_for_selector({
        "#/models": ".tile", "#/duplicates": ".group", "#/database": ".counts"
      }[hash])  # fmt: skip
    wide = page.evaluate("document.documentElement.scrollWidth")
    assert wide <= size["width"], hash


def test_theme_survives_reload(visit):
  page = visit(color_scheme="light")
  paper = "getComputedStyle(document.body).backgroundColor"
  before = page.evaluate(paper)
  page.click("#theme")
  page.click("#theme")
  assert page.get_attribute("#theme", "aria-label") == "Theme: dark"
  assert page.evaluate(paper) != before
  page.reload()
  assert page.evaluate(paper) != before
