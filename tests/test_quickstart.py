"""What the quickstart counts; the command itself runs in CI."""

import pathlib

import numpy as np
import pytest

from dr3d.data.folder import ModelFile
from dr3d.quickstart import Question, Tally, count_answers
from dr3d.quickstart_training import HEADER, explain
from dr3d.search.answer import Answer, Prediction
from dr3d.search.query import Query

pytestmark = pytest.mark.fast


def ask(label, answer, unknown):
  def reply(prediction):
    return Answer(Prediction(prediction[0], 1, 1, *prediction[1:]), ())

  file = ModelFile(pathlib.Path("a.stl"), "a.stl", label)
  query = Query(np.ones((1, 1), np.float32))
  return Question(file, query, reply(answer), unknown and reply(unknown))


def test_tally_counts_right_accepted_and_falsely_accepted_answers():
  questions = [
    ask("nut", ("nut",), ("bolt",)),
    ask("nut", ("bolt",), ("bolt", "unknown")),
    ask("bolt", ("bolt", "ambiguous"), ("nut", "ambiguous")),
    ask("bolt", ("bolt",), None),
  ]
  assert count_answers(questions, classes=2) == Tally(
    count=4,
    right=3,
    accepted=3,
    accepted_right=2,
    unknown=3,
    false_accepts=1,
    classes=2,
  )


@pytest.mark.parametrize(
  ("learned", "fixed", "verdict"),
  [("90.0", "95.0", "chance explains"), ("90.0", "20.0", "learned viewpoints")],
)
def test_outcome_of_training_says_whether_the_difference_is_chance(
  learned, fixed, verdict
):
  rows = [
    ["scanned", name, "60", *[vote] * (len(HEADER) - 3)]
    for name, vote in (("learned", learned), ("fixed", fixed))
  ]
  text = explain(rows)
  assert "Learned viewpoints answer 54 of 60 queries rightly" in text
  assert verdict in text
