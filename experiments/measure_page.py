"""Three tasks of a clerk on the page of a service, in clicks and seconds.

    dr3d serve --db=parts.db --port=8000
    python -m experiments.measure_page --url=http://127.0.0.1:8000 \
      --scan=scan.stl --number=8834-74.B --words="angle 100 50"

Needs Chromium and playwright. A click is one press of a button, a link or an
option; a key is one letter typed. Seconds run from the loaded first page until
the part's name can be read, and hold no time of a person.
"""

import argparse
import pathlib
import shutil
import time
from collections.abc import Callable

from playwright import sync_api as playwright

_SIZES = {"1280 x 800": (1280, 800), "390 x 844": (390, 844)}
_TIMEOUT = 120_000  # milliseconds


class Clerk:
  """Counts what a person does on a page.

  Attributes:
    page: of the browser.
    clicks: so far.
    keys: so far.
  """

  def __init__(self, page: playwright.Page):
    self.page = page
    self.clicks = self.keys = 0

  def choose(self, path: pathlib.Path) -> None:
    """Chooses a file: a click on the page, and one in the system's dialog."""
    with self.page.expect_file_chooser() as chooser:
      self.page.click("text=Choose files")
    chooser.value.set_files(path)
    self.clicks += 2

  def type(self, text: str) -> None:
    """Types into the field for words, which takes a click."""
    self.page.click("#known")
    self.page.keyboard.type(text)
    self.clicks += 1
    self.keys += len(text)

  def click(self, selector: str) -> None:
    """Clicks on an element as soon as it is there."""
    self.page.click(selector)
    self.clicks += 1


def find_by_scan(clerk: Clerk, path: pathlib.Path) -> str:
  """Returns verdict and name of the part that a file is."""
  clerk.choose(path)
  clerk.page.wait_for_selector(".headline h2")
  verdict = clerk.page.inner_text(".verdict")
  return f"{verdict}: {clerk.page.inner_text('.headline h2')}"


def find_by_text(clerk: Clerk, text: str) -> str:
  """Returns the name of the first part that a text finds."""
  clerk.type(text)
  clerk.click("[role=option] >> nth=0")
  clerk.page.wait_for_selector(".facts-table")
  return clerk.page.inner_text("h1")


def main() -> None:
  """Prints one row for each task and size of the window."""
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  parser.add_argument("--url", required=True)
  parser.add_argument("--scan", required=True, type=pathlib.Path)
  parser.add_argument("--number", required=True)
  parser.add_argument("--words", required=True)
  options = parser.parse_args()
  tasks: dict[str, Callable[[Clerk], str]] = {
    f"scan {options.scan.name}": lambda one: find_by_scan(one, options.scan),
    f"number {options.number}": lambda one: find_by_text(one, options.number),
    f"words {options.words}": lambda one: find_by_text(one, options.words),
  }
  print("| task | window | clicks | keys | seconds | found | scrolled |")
  print("|---|---|--:|--:|--:|---|---|")
  with playwright.sync_playwright() as play:
    browser = play.chromium.launch(
      executable_path=shutil.which("chromium"),
      args=["--use-angle=swiftshader", "--enable-unsafe-swiftshader"],
    )
    for task, run in tasks.items():
      for size, (width, height) in _SIZES.items():
        page = browser.new_page(viewport={"width": width, "height": height})
        page.set_default_timeout(_TIMEOUT)
        page.goto(options.url)
        page.wait_for_selector("#known")
        clerk = Clerk(page)
        start = time.monotonic()
        found = run(clerk)
        seconds = time.monotonic() - start
        scrolled = "yes" if page.evaluate("scrollY") else "no"
        print(
          f"| {task} | {size} | {clerk.clicks} | {clerk.keys} | {seconds:.1f} "
          f"| {found} | {scrolled} |"
        )
        page.close()
    browser.close()


if __name__ == "__main__":
  main()
