"""The page in Chromium, on a small database, by mouse and by keyboard."""

import base64
import csv
import io
import re
import shutil

import numpy as np
import pytest
import trimesh
from axe_playwright_python.sync_playwright import Axe
from PIL import Image
from playwright import sync_api as playwright
from scipy.spatial.transform import Rotation
from support.service import TOKEN, serving
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
  rows = [
    (name, name.split("/")[0], f"PN-{number}.7", ("steel", "brass")[number % 2])
    for number, name in enumerate(shapes)
  ]
  with (folder / "table.csv").open("w", newline="") as file:
    csv.writer(file).writerows([("file", "class", "number", "alloy"), *rows])
  database = Database.create(folder / "parts.db", MeasuringPipeline())
  database.update(folder / "models", labels=folder / "table.csv")
  database.show_columns(["number", "alloy"])
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


def drop(page, *paths):
  """Drops files on the page."""
  page.wait_for_selector(".drop")
  page.evaluate(
    """(files) => {
      const dataTransfer = new DataTransfer();
      for (const [name, data] of files) {
        const bytes = Uint8Array.from(atob(data), (one) => one.charCodeAt(0));
        dataTransfer.items.add(new File([bytes], name));
      }
      for (const kind of ["dragenter", "dragover", "drop"]) {
        document.body.dispatchEvent(new DragEvent(kind, {
          dataTransfer, bubbles: true, cancelable: true,
        }));
      }
    }""",
    [
      (path.name, base64.b64encode(path.read_bytes()).decode())
      for path in paths
    ],
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


def compare(page, number=0):
  """Opens a match beside the query."""
  page.click(f".card >> nth={number} >> [data-do=compare]")
  page.wait_for_selector(SECOND)


def test_best_model_is_the_headline_and_matches_follow(visit, folder):
  page = visit()
  ask(page, folder / "found.stl")
  headline = page.locator(".headline")
  best = headline.locator("h2 a").get_attribute("title")
  assert best in {"plate/plate-3.stl", "plate/large.stl"}
  assert best == models(page)[0]
  text = headline.inner_text()
  assert re.search(r"Number\s*PN-\d+\.7\s+Alloy\s*(steel|brass)", text)
  assert "The class plate is right in" in text
  assert len(models(page)) == 10
  first = page.locator(".card[data-model='plate/plate-3.stl']")
  assert "Same shape and size" in first.inner_text()
  large = page.locator(".card[data-model='plate/large.stl']").inner_text()
  assert "2 times as large" in large
  other = page.locator(".card").nth(4).inner_text()
  assert re.search(r"Surface differs by [\d.]+ mm on average", other)
  expect(page.locator("#live-region")).to_contain_text("matches shown")
  assert "found.stl" in page.title()


def test_evidence_is_shown_to_those_who_ask_why(visit, folder):
  page = visit()
  ask(page, folder / "found.stl")
  visible = page.locator("main").inner_text()
  assert not re.search(r"\b(vote|view|faces|indexed)", visible, re.IGNORECASE)
  card = page.locator(".card[data-model='plate/plate-3.stl']")
  card.locator("summary").click()
  assert re.search(r"Similarity\s+1.000\s+Votes\s+\d of 2", card.inner_text())
  assert card.locator(".pair img").count() == 2
  page.locator(".headline-place summary").click()
  assert (
    "Its share of the votes" in page.locator(".headline-place").inner_text()
  )


@pytest.mark.parametrize(
  "size", [{"width": 1280, "height": 800}, {"width": 390, "height": 844}]
)
def test_headline_and_first_match_need_no_scrolling(visit, folder, size):
  page = visit(viewport=size)
  ask(page, folder / "found.stl")
  for selector in (".headline h2", ".headline .reason", ".card h3 >> nth=0"):
    box = page.locator(selector).bounding_box()
    assert 0 < box["y"] < box["y"] + box["height"] <= size["height"], selector
  assert page.evaluate("scrollY") == 0


def test_opened_match_rotates_with_the_query(visit, folder):
  page = visit()
  ask(page, folder / "found.stl")
  compare(page, 1)
  opened = models(page)[1]
  assert page.locator(".pane + .pane h2").get_attribute("title") == opened
  for strip in page.locator(".strip summary").all():
    strip.click()
  assert page.locator(".view.paired").count() == 2
  query, match = page.locator(VIEWER).all()
  seen = page.locator(".view[aria-pressed=true]")
  number = page.locator(".view.paired .view-number").first.inner_text()
  query.press(number)
  expect(seen).to_have_count(2)  # both have come to lie as in the pair
  before = screenshot(match)
  query.press("ArrowRight")
  expect(seen).to_have_count(0)
  assert np.abs(screenshot(match) - before).mean() > 1
  query.press(number)
  expect(seen).to_have_count(2)
  page.get_by_role("button", name="Turn together").click()
  match.press("ArrowUp")
  expect(seen).to_have_count(1)


def test_viewer_has_axes_a_scale_and_a_hint(visit, folder):
  page = visit("#/model/plate%2Fplate-3.stl")
  viewer = page.locator(VIEWER)
  scale = viewer.locator(".scale")
  expect(scale).to_have_text(re.compile(r"^(1|2|5)0* mm$"))
  millimetres = float(scale.inner_text().split()[0])
  shown = scale.locator(".scale-bar").bounding_box()["width"]
  expect(viewer.locator(".viewer-hint")).to_be_visible()
  viewer.press("+")
  expect(viewer.locator(".viewer-hint")).to_have_count(0)
  page.wait_for_timeout(300)
  zoomed = scale.locator(".scale-bar").bounding_box()["width"]
  now = float(scale.inner_text().split()[0])
  assert zoomed / now == pytest.approx(1.2 * shown / millimetres, rel=0.02)


@pytest.mark.parametrize(
  ("model", "words"),
  [
    ("plate-3", r"The part and the match are the same within 0.001 mm\."),
    ("plate-0", r"The part lies [\d.]+ mm from the match"),
  ],
)
def test_deviation_is_drawn_in_millimetres(visit, folder, model, words):
  page = visit()
  ask(page, folder / "found.stl")
  compare(page, models(page).index(f"plate/{model}.stl"))
  page.get_by_role("button", name="Show deviation").click()
  page.wait_for_selector(".deviation .viewer[data-drawn=model]")
  text = page.locator(".deviation-text").inner_text()
  assert re.search(words, text)
  assert "mm or more" in page.locator(".legend-bar").inner_text()
  assert page.locator(".pane >> visible=true").count() == 0
  page.get_by_role("button", name="Show deviation").click()
  page.wait_for_selector(SECOND)


def test_back_and_reload_restore_the_view(visit, folder):
  page = visit()
  ask(page, folder / "found.stl")
  compare(page, 1)
  here = page.url
  page.reload()
  page.wait_for_selector(SECOND)
  assert page.url == here
  page.go_back()
  page.wait_for_selector(".stage", state="detached")
  assert page.locator(".card").count() == 10
  page.go_forward()
  page.wait_for_selector(SECOND)


def choose(page, column, value):
  """Ticks a value in the list of a column."""
  facet = page.locator(f".facet[data-column='{column}']")
  if facet.get_attribute("open") is None:
    facet.locator("summary").click()
  facet.get_by_label(value).check()


def test_filters_restrict_the_matches(visit, folder):
  page = visit(viewport={"width": 1280, "height": 800})
  ask(page, folder / "found.stl")
  page.locator(".facet[data-column=label] summary").click()
  facet = page.locator(".facet[data-column=label]")
  assert re.search(r"cone\s+10", facet.inner_text())
  choose(page, "label", "cone")
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


def test_old_verdict_is_gone_while_a_filter_is_applied(visit, folder):
  page = visit()
  ask(page, folder / "found.stl")
  page.route("**/api/query*", lambda route: None)  # no answer
  page.select_option("select[aria-label='Number of matches']", "25")
  page.wait_for_selector("text=Searching again")
  assert page.locator(".verdict").count() == 0
  assert page.locator(".card >> visible=true").count() == 0


def test_ambiguous_query_asks_to_check(visit, folder):
  page = visit()
  ask(page, folder / "block.obj")
  text = page.locator(".headline.check").inner_text()
  assert "Please check" in text
  assert "parts of other classes look much the same" in text
  expect(page.locator("#live-region")).to_contain_text("Please check")


def change_answers(page, change):
  """Lets a function change the JSON of each answer."""

  def answer(route):
    found = route.fetch()
    values = found.json()
    change(values)
    route.fulfill(response=found, json=values)

  page.route("**/api/query*", answer)


@pytest.mark.parametrize(
  ("prediction", "match", "verdict", "reason"),
  [
    ({"accepted": True, "probability": 0.999}, {}, "Very likely", "99 of 100"),
    (
      {"accepted": True, "probability": 0.97},
      {"scale": 3.0},
      "Please check",
      "97 of 100 cases, but the best match is 3 times as large",
    ),
    (
      {"accepted": True},
      {"mirrored": True},
      "Please check",
      "the best match is the mirror image",
    ),
    ({"accepted": True}, {"label": "rod"}, "Please check", "is of another"),
    (
      {"accepted": False, "reject_reason": "unknown"},
      {},
      "Not in this catalogue",
      "Parts that are missing here",
    ),
    (
      {"accepted": False, "reject_reason": "unverified"},
      {},
      "Please check",
      "search again",
    ),
  ],
)
def test_verdict_says_what_is_known(
  visit, folder, prediction, match, verdict, reason
):
  page = visit()

  def change(values):
    known = {"label": "plate", "reject_reason": "", "probability": 0.99}
    values["prediction"] |= known | prediction
    same = {"label": "plate", "scale": 1.0, "mirrored": False}
    values["matches"][0] |= same | match

  change_answers(page, change)
  ask(page, folder / "found.stl")
  assert page.locator(".verdict").inner_text() == verdict
  assert reason in page.locator(".reason").inner_text()


def test_several_files_have_an_answer_each(visit, folder):
  page = visit(ignore="status of 422")
  drop(page, folder / "found.stl", folder / "bad.stl", folder / "block.obj")
  page.wait_for_selector("text=All 3 files answered")
  rows = page.locator(".row")
  expect(rows).to_have_count(3)
  assert "plate" in rows.nth(0).inner_text()
  assert "bad.stl" in rows.nth(1).locator(".problem").inner_text()
  with page.expect_download() as download:
    page.get_by_role("button", name="Save as CSV").click()
  lines = list(
    csv.reader(download.value.path().read_text("utf-8-sig").split("\n"))
  )
  lines = [line for line in lines if line]
  assert lines[0][:6] == ["query", "verdict", "rank", "name", "class", "alloy"]
  assert {line[0] for line in lines[1:]} == {"found.stl", "block.obj"}
  assert len(lines) == 21
  rows.nth(0).get_by_role("link", name="All matches").click()
  page.wait_for_selector(".card")
  assert "found.stl" in page.locator("h1").inner_text()


def test_csv_holds_no_formula(visit, folder):
  page = visit()
  change_answers(
    page, lambda values: values["matches"][0].update(label='=1+1,"a"')
  )
  ask(page, folder / "found.stl")
  with page.expect_download() as download:
    page.get_by_role("button", name="Save as CSV").click()
  text = download.value.path().read_text("utf-8-sig")
  assert next(csv.reader([text.splitlines()[1]]))[4] == '\'=1+1,"a"'


def test_find_similar_searches_from_a_match(visit, folder):
  page = visit()
  ask(page, folder / "found.stl")
  page.click(".card[data-model='plate/plate-3.stl'] [data-do=search]")
  page.wait_for_selector(
    ".card[data-model='plate/plate-3.stl']", state="detached"
  )
  page.wait_for_selector(".card")
  assert "#/like/plate%2Fplate-3.stl" in page.url
  assert models(page)[0] == "plate/large.stl"
  assert "plate/plate-3.stl" not in models(page)


# ----- what goes wrong -------------------------------------------------------


def test_bad_file_shows_its_name_and_what_to_do(visit, folder):
  page = visit(ignore="status of 4")
  drop(page, folder / "bad.stl")
  alert = page.wait_for_selector("[role=alert]").inner_text()
  assert "This file cannot be read" in alert
  assert "bad.stl" in alert
  # The same file would fail again.
  assert page.get_by_role("button", name="Try again").count() == 0
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
  page.wait_for_selector("text=52 parts, of which 1 cannot be found by shape")
  assert page.locator(".tile").count() == 48
  page.click("[aria-label='Next page']")
  expect(page.locator(".tile")).to_have_count(4)
  page.go_back()
  expect(page.locator(".tile")).to_have_count(48)
  page.fill("input[name=text]", "1.stl CONE")
  expect(page.locator(".tile")).to_have_count(1)
  assert models(page, ".tile") == ["cone/cone-1.stl"]
  page.fill("input[name=text]", "cone")
  expect(page.locator(".tile")).to_have_count(10)
  choose(page, "alloy", "brass")
  expect(page.locator(".tile")).to_have_count(5)
  assert "where=alloy%3Dbrass" in page.url
  page.fill("input[name=text]", "cone-0")
  expect(page.locator(".tile")).to_have_count(1)
  page.click(".tile a")
  page.wait_for_selector(VIEWER)
  assert "Size" in page.locator(".facts-table").first.inner_text()
  with page.expect_download() as download:
    page.click("text=Original file")
  assert download.value.suggested_filename == "cone-0.stl"


def test_map_of_the_database_leads_to_a_model(visit):
  page = visit("#/database")
  page.click(".map-box summary")
  page.wait_for_selector(".map circle")
  assert page.locator(".map > svg circle").count() > 10
  assert "of the differences" in page.inner_text(".map")
  page.locator(".map > svg circle").first.click()
  page.wait_for_function("location.hash.startsWith('#/model/')")


def test_duplicates_open_a_comparison(visit):
  page = visit("#/duplicates")
  group = page.locator(
    ".group[data-relation=scaled]",
    has=page.locator("[data-model='plate/large.stl']"),
  )
  group.wait_for()
  assert re.search("2 times (as large|smaller)", group.inner_text())
  group.get_by_role("link", name=re.compile("^Compare")).first.click()
  page.wait_for_selector(SECOND)
  titles = page.locator(".pane h2").all_inner_texts()
  assert set(titles) == {"plate-3", "large"}


def test_database_page_lists_failed_files(visit):
  page = visit("#/database")
  text = page.wait_for_selector(".failures").inner_text()
  assert "broken.stl" in text
  assert page.locator(".counts .figure").all_inner_texts()[:2] == ["51", "1"]
  page.click(".failures a")
  alert = page.wait_for_selector("[role=alert]").inner_text()
  assert "File not readable" in alert
  assert "Repair the file" in alert


# ----- changes --------------------------------------------------------------


def enter_token(page, token=TOKEN):
  page.fill("dialog #token", token)
  page.get_by_role("button", name="Continue").click()


def test_model_is_added_edited_and_deleted_with_the_token(visit, folder):
  page = visit("#/models")
  page.get_by_role("button", name="Add parts").click()
  enter_token(page)
  page.set_input_files("#add-files", folder / "block.obj")
  page.fill("dialog #class", "block")
  page.get_by_role("button", name="Add", exact=True).click()
  page.wait_for_selector("text=53 parts")
  page.fill("input[name=text]", "block")
  page.click(".tile[data-model='block.obj'] a")
  page.get_by_role("button", name="Edit").click()
  page.get_by_label("Value of property 1").fill("lead")
  page.get_by_role("button", name="Save").click()
  expect(page.locator(".facts-table").first).to_contain_text("lead")
  page.get_by_role("button", name="Delete").click()
  page.locator("dialog").get_by_role("button", name="Delete").click()
  page.wait_for_selector("text=52 parts")


def test_rejected_change_says_why_and_keeps_the_form(visit):
  page = visit("#/model/cone%2Fcone-1.stl", ignore="status of 40")
  page.get_by_role("button", name="Edit").click()
  enter_token(page, "not the token at all")
  page.get_by_label("Class").fill("x")
  page.get_by_role("button", name="Save").click()
  # The service rejects the token, and the page asks again.
  page.locator("dialog").nth(1).get_by_role("button", name="Cancel").click()
  expect(page.locator("dialog .problem")).to_contain_text("token is not valid")


@pytest.fixture
def private(folder, tmp_path):
  """Address of a service that wants a token for reading."""
  with serving(folder / "parts.db", public_read=False) as (client, _):
    yield str(client.base_url)


def test_page_asks_for_the_token_that_reading_needs(browser, private, folder):
  page = browser.new_page()
  page.set_default_timeout(SLOW)
  page.goto(private)
  page.wait_for_selector("text=This service wants a token")
  enter_token(page)
  ask(page, folder / "found.stl")
  image = page.locator(".card-face img").first
  expect(image).to_have_js_property("naturalWidth", 96)
  compare(page)
  page.close()


@pytest.fixture
def empty(tmp_path):
  """Address of a service without models."""
  Database.create(tmp_path / "empty.db", MeasuringPipeline())
  with serving(tmp_path / "empty.db") as (client, _):
    yield str(client.base_url)


def test_empty_database_is_called_empty_everywhere(browser, empty):
  page = browser.new_page()
  page.set_default_timeout(SLOW)
  for hash in ("", "#/models", "#/duplicates"):
    page.goto(f"{empty}/{hash}")
    page.wait_for_selector("text=The catalogue is empty")
  page.close()


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
  assert page.evaluate("document.activeElement.id") == "photograph"
  page.keyboard.press("Tab")
  page.keyboard.type("pn 187")  # the number PN-18.7 without its point
  page.wait_for_selector("[role=option][aria-selected=true] img")
  page.keyboard.press("Enter")
  page.wait_for_selector("text=PN-18.7")
  page.focus("text=Find similar parts")
  page.keyboard.press("Enter")
  page.wait_for_selector(".card")
  page.focus(".card >> nth=0 >> [data-do=compare]")
  page.keyboard.press("Enter")
  page.wait_for_selector(SECOND)
  expect(page.locator(".pane + .pane h2")).to_be_focused()
  page.keyboard.press("Escape")
  page.wait_for_selector(".stage", state="detached")
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
  page.click(".card >> nth=0 >> [data-do=compare]")
  page.wait_for_selector(".pane + .pane .viewer[data-drawn=images]")
  first = page.locator(".pane").first
  before = first.locator(".viewer-note").inner_text()
  assert re.match("View [12] of 2", before)
  first.get_by_label("Next view").click()
  expect(first.locator(".viewer-note")).not_to_have_text(before)


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
  page.get_by_role("button", name="Show deviation").click()
  page.wait_for_selector(".deviation .viewer[data-drawn=model]")
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


@pytest.mark.parametrize(
  ("scheme", "width", "height"), [("light", 1280, 800), ("dark", 390, 844)]
)
def test_every_state_is_accessible(visit, folder, scheme, width, height):
  page = visit(
    color_scheme=scheme,
    viewport={"width": width, "height": height},
    ignore="status of 422",
  )
  found = {}

  def check(name):
    answer = Axe().run(page).response
    assert answer["passes"], name
    for violation in answer["violations"]:
      found[name, violation["id"]] = violation["nodes"][0]["html"]

  def go(hash, selector):
    page.evaluate(f"location.hash = '{hash}'")
    page.wait_for_selector(selector)
    check(hash)

  page.wait_for_selector(".drop")
  check("search")
  page.fill("#known", "plate")
  page.wait_for_selector("[role=option]")
  check("suggestions")
  ask(page, folder / "found.stl")
  for summary in page.locator("summary >> visible=true").all()[:3]:
    summary.click()
  check("answer")
  compare(page)
  check("comparison")
  page.get_by_role("button", name="Show deviation").click()
  page.wait_for_selector(".deviation .viewer[data-drawn=model]")
  check("deviation")
  go("#/", ".drop")
  drop(page, folder / "found.stl", folder / "bad.stl")
  page.wait_for_selector("text=All 2 files answered")
  check("several")
  go("#/", ".drop")
  drop(page, folder / "bad.stl")
  page.wait_for_selector("[role=alert]")
  check("bad file")
  go("#/models?text=nothing", "text=No part found")
  go("#/models", ".tile")
  page.locator(".facet summary").first.click()
  check("filter")
  go("#/duplicates", ".group")
  go("#/database", ".failures")
  go("#/model/broken.stl", "[role=alert]")
  go("#/model/cone%2Fcone-1.stl", VIEWER)
  page.get_by_role("button", name="Edit").click()
  page.wait_for_selector("dialog")
  check("token")
  enter_token(page)
  page.wait_for_selector("dialog .fields")
  check("edit")
  assert found == {}
