"""Models are found by the words that people remember of them."""

import dataclasses

import pytest

from dr3d.database.model import Model
from dr3d.database.text_search import TextIndex

pytestmark = pytest.mark.fast


def make_model(name, label="", **metadata):
  return Model(name, label, "", "indexed", "", "", metadata=metadata)


SCREW = make_model(
  "screws/DIN912_M8x20.step",
  "hex_socket_screw",
  number="PN-123.45-A",
  supplier="Würth",
)
LONG_SCREW = make_model("screws/DIN912_M8x200.step", "hex_socket_screw")
NUT = make_model("nuts/DIN934_M8.stl", "hex_nut", number="PN-678.90-B")
STRASSE = make_model("Straße Ø20.stl", "Rohr", number="R 20")
ALL = (SCREW, LONG_SCREW, NUT, STRASSE)


@pytest.fixture
def index():
  index = TextIndex()
  index.update(ALL)
  return index


@pytest.mark.parametrize(
  ("text", "found"),
  [
    ("hex", [SCREW, LONG_SCREW, NUT]),
    ("m8 hex nut", [NUT]),
    ("nut hex", [NUT]),  # in any order
    ("SCREW din", [SCREW, LONG_SCREW]),
    ("sock", [SCREW, LONG_SCREW]),  # the begin of a word
    ("PN-123.45-A", [SCREW]),
    ("pn 123.45", [SCREW]),
    ("12345", [SCREW]),  # without its punctuation
    ("PN12345A", [SCREW]),
    ("23.45-a", [SCREW]),  # not from the begin
    ("m8x20", [SCREW, LONG_SCREW]),
    ("934", [NUT]),  # the digits of DIN934
    ("wurth", [SCREW]),  # without its dots
    ("WÜRTH screw", [SCREW]),
    ("strasse", [STRASSE]),
    ("hex pipe", []),
    ("screw pn-678.90", []),  # words of two models
    ('" OR *', []),  # no syntax of a query language
  ],
)
def test_words_find_models(index, text, found):
  assert set(index.find(text)) == {model.name for model in found}


def test_text_without_words_finds_all_by_name(index):
  assert index.find(" -/ ") == sorted(model.name for model in ALL)


def test_exact_number_comes_before_a_longer_one():
  index = TextIndex()
  index.update([make_model("a.stl", number="77-10"), make_model("b 77-1.stl")])
  assert index.find("77-1") == ["b 77-1.stl", "a.stl"]


def test_word_of_the_name_counts_more_than_one_of_the_metadata():
  index = TextIndex()
  index.update(
    [
      make_model("a.stl", "plate", note="for a valve"),
      make_model("valve.stl", "tap", note="for a pipe"),
    ]
  )
  assert index.find("valve pi") == ["valve.stl"]
  assert index.find("valve")[0] == "valve.stl"


def test_update_follows_every_kind_of_change(index):
  changed = dataclasses.replace(NUT, label="wing_nut")
  added = make_model("new.stl", "flange")
  index.update([changed, added, STRASSE])
  assert index.find("wing") == [NUT.name]
  assert index.find("hex") == []
  assert index.find("flange") == ["new.stl"]
  assert index.find("screw") == []
  assert index.find("12345") == []
