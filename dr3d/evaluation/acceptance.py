"""Which answers are relied on: by what votes tell, and by shape.

As `dr3d query` does, the models most alike to a query are laid upon it where
votes leave its label in doubt: what has the same shape settles it; see
`overlay`.
"""

import dataclasses
import functools
from collections.abc import Callable, Sequence

import numpy as np

from dr3d.evaluation.side import Side
from dr3d.evaluation.trial import Outcome, Trial
from dr3d.evaluation.voter import Replies
from dr3d.mesh.packing import unpack_mesh
from dr3d.search.overlay import settle_each

_Question = tuple[int, str, tuple[int, ...]]  # query, label, models


def accept(
  outcome: Outcome, trial: Trial, *, threshold: float
) -> tuple[np.ndarray, np.ndarray]:
  """Which answers are relied on, with models of their label and without.

  In a leave-one-out, what a query itself found does not decide over it.

  Args:
    outcome: of Q queries.
    trial: whose outcome it is.
    threshold: share of the accepted answers that are to be right.

  Returns:
    Two of bool [Q].
  """
  own = np.zeros(0, int) if trial.own is None else trial.own
  among = np.flatnonzero(np.isin(own, outcome.trust.models))
  others = [outcome.trust.without(own[i]) for i in among]

  def decide(replies: Replies) -> np.ndarray:
    accepted = outcome.trust.accept(replies.findings, threshold)
    for i, trust in zip(among, others, strict=True):
      one = replies.findings.pick(np.array([i]))
      accepted[[i]] = trust.accept(one, threshold)
    told = np.array(replies.predictions) != ""
    return told & (accepted | replies.settled)

  return decide(outcome.known), decide(outcome.strange)


def settle(
  outcomes: Sequence[Outcome],
  trial: Trial,
  queries: Side,
  gallery: Side,
  *,
  threshold: float,
  progress: Callable[[int, int], None],
) -> list[Outcome]:
  """Lays models upon the queries whose label votes leave in doubt.

  Args:
    outcomes: what several methods found.
    trial: whose outcomes they are, of Q queries among B models.
    queries: Q models.
    gallery: B models. Those of either side without a mesh are not laid.
    threshold: see `accept`.
    progress: called after each question with those settled and all.

  Returns:
    The outcomes, `settled` of their replies filled in.
  """
  asked = [
    [
      _ask(replies, ~accepted, queries, gallery)
      for replies, accepted in zip(
        (outcome.known, outcome.strange),
        accept(outcome, trial, threshold=threshold),
        strict=True,
      )
    ]
    for outcome in outcomes
  ]
  # Methods, and exact and approximate search, mostly ask the same.
  questions = list(
    dict.fromkeys(
      question for pair in asked for several in pair for question in several
    )
  )
  pack = functools.cache(gallery.pack)
  calls = (
    (
      unpack_mesh(queries.pack(query)),
      label,
      [(gallery.labels[place], pack(place)) for place in models],
    )
    for query, label, models in questions
  )
  settled: set[_Question] = set()
  for done, (question, yes) in enumerate(
    zip(questions, settle_each(calls, count=len(questions)), strict=True), 1
  ):
    if yes:
      settled.add(question)
    progress(done, len(questions))
  return [
    dataclasses.replace(
      outcome,
      known=_fill(outcome.known, settled.intersection(known)),
      strange=_fill(outcome.strange, settled.intersection(strange)),
    )
    for outcome, (known, strange) in zip(outcomes, asked, strict=True)
  ]


def _ask(
  replies: Replies, doubted: np.ndarray, queries: Side, gallery: Side
) -> list[_Question]:
  """Of what is doubted, what shapes may settle."""
  asked = []
  for query in np.flatnonzero(doubted).tolist():
    label = replies.predictions[query]
    models = tuple(
      place
      for place in replies.nearest[query].tolist()
      if place >= 0 and gallery.has_shape(place)
    )
    # Only a model of the label can settle it.
    own = any(gallery.labels[place] == label for place in models)
    if label and own and queries.has_shape(query):
      asked.append((query, label, models))
  return asked


def _fill(replies: Replies, settled: set[_Question]) -> Replies:
  which = replies.settled.copy()
  which[[query for query, *_ in settled]] = True
  return dataclasses.replace(replies, settled=which)
