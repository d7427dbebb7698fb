"""`dr3d evaluate`: how good are the answers of a database?"""

import contextlib
import json
import pathlib
import sys
from typing import TYPE_CHECKING, Any, cast

from dr3d.cli import report
from dr3d.cli.subcommand import Flag, Subcommand, UsageError
from dr3d.registration.relation import VERIFIED_COUNT
from dr3d.search.answer import TARGET_PRECISION

if TYPE_CHECKING:
  from dr3d.retrieval.pipeline import Pipeline


def run(flags: Any, files: list[str]) -> int:
  """Evaluates, and prints and writes what was found."""
  del files
  page = pathlib.Path(flags.report) if flags.report else None
  if page is not None and page.suffix.lower() not in (".html", ".htm"):
    raise UsageError(
      f"evaluate: --report={flags.report} must end in .html; see dr3d evaluate"
      " --help."
    )
  from dr3d.data.folder import find_models, read_labels
  from dr3d.database.writer import Database
  from dr3d.evaluation.protocol import Protocol
  from dr3d.evaluation.report import page as page_lib
  from dr3d.evaluation.report import summary
  from dr3d.evaluation.report.rankings import write_rankings
  from dr3d.evaluation.run import EvaluateConfig, evaluate_database

  database = Database.open(flags.db)
  queries = labels = None
  if flags.queries:
    queries = find_models(flags.queries, labels=flags.labels)
  elif flags.labels:
    labels = read_labels(flags.labels)
  config = EvaluateConfig(
    protocol=Protocol(flags.rotation, scan=flags.scan, seed=flags.seed),
    methods=flags.method,
    similarity=flags.similarity,
    views=flags.views,
    target_precision=flags.threshold,
    verify=flags.verify,
  )
  with contextlib.ExitStack() as stack:
    sink = None
    if flags.rankings:
      sink = stack.enter_context(write_rankings(flags.rankings))
    evaluation = evaluate_database(
      database,
      config=config,
      queries=queries,
      labels=labels,
      models=pathlib.Path(flags.models) if flags.models else None,
      sink=sink,
      progress=stack.enter_context(report.stages()),
    )
  report.tell_failures(evaluation.failures, "left out")
  name = pathlib.Path(flags.db).name
  means = summary.summarize_all(evaluation)
  if flags.json:
    values = summary.to_values(evaluation, means, name=name)
    json.dump(values, sys.stdout, indent=2)
    print()
  else:
    print(summary.describe_protocol(evaluation, name=name))
    print(summary.describe_leaks(evaluation))
    print()
    print(summary.format_means(evaluation, means))
    print()
    print(summary.describe_false_accepts(evaluation))
  if page is not None:
    pipeline = cast("Pipeline", database.pipeline)
    page_lib.write_page(evaluation, means, page, name=name, pipeline=pipeline)
    report.tell(f"{page}: curves, views, best and worst queries, confusion.")
  return 0


SUBCOMMAND = Subcommand(
  name="evaluate",
  summary="Measure how good the answers of a database are.",
  details="""
    Without --queries, each model of the database is asked among all others.
    Prints the protocol in one line, models that stand on both sides, and a
    table in percent, each mean with its interval below: NN, the first model
    is of the query's class; FT and ST, the share of its class among the first
    so many, and twice so many, as the class has; E, of the first 32; DCG;
    mAP; vote, the label by vote is right; accepted, the answer is
    reliable; right, the share of right ones among the accepted; strangers, the
    share that would be accepted were all models of their label missing. micro
    is the mean over queries, macro over classes. Below it are the answers that
    are reliable and wrong, by name.

    The methods are pipeline, that of the database; untrained, the same
    network with random weights under views that never moved; lfd, the light
    field descriptor; d2, distances of points; or the folder of another
    trained pipeline. All get the same queries. exact ranks all models by their
    likeness; approximate those that ScaNN finds, where it is installed; laid
    lays the first of the pipeline's models upon each query as well, which is
    how dr3d query answers.
  """,
  example="""
    dr3d evaluate --db=parts.db --rotation=so3
    dr3d evaluate --db=parts.db --queries=more_parts --method=pipeline,lfd,d2
  """,
  flags=(
    Flag("db", "Folder of the database.", "DIR", required=True),
    Flag("queries", "Folder of models to ask for.", "DIR"),
    Flag(
      "labels",
      "Table with the columns file and class: of the queries or, without"
      " --queries, of the models. Otherwise classes are folders' names.",
      "FILE.csv",
    ),
    Flag(
      "models",
      "Folder of the database's files, where it is no longer that which was"
      " indexed.",
      "DIR",
    ),
    Flag(
      "method",
      "Methods to compare, with commas.",
      "NAMES",
      "pipeline",
      "names",
    ),
    Flag(
      "rotation",
      "How each query is turned: none, z (a random angle about the z axis), or"
      " so3 (a random rotation).",
      "NAME",
      "none",
      choices=("none", "z", "so3"),
    ),
    Flag("scan", "Imitate a scan of each query.", kind="switch"),
    Flag(
      "views",
      "Views of a pipeline that count, spread best; all by default.",
      "N",
      kind="integer",
      least=1,
    ),
    Flag(
      "similarity",
      "How the vectors of two models are compared. best: mean over the"
      " query's views of the best cosine; symmetric: the mean of both"
      " directions; pooled: cosine of the sums; aligned: view by view; posed:"
      " the mean of best and aligned, as dr3d query ranks; vote: by votes, then"
      " best.",
      "NAME",
      "view_aligned",
      choices=("max", "symmetric", "pooled", "aligned", "view_aligned", "vote"),
    ),
    Flag(
      "verify",
      "Models that are laid upon each query.",
      "N",
      VERIFIED_COUNT,
      "integer",
      least=0,
    ),
    Flag(
      "threshold",
      "Share of the reliable answers that are to be right.",
      "SHARE",
      TARGET_PRECISION,
      "number",
      least=0,
    ),
    Flag(
      "rankings",
      "File for every ranked list: query, rank, model, score.",
      "FILE.csv",
    ),
    Flag(
      "report",
      "Page with precision-recall curves, the views, best and worst queries,"
      " and which classes are taken for which.",
      "FILE.html",
    ),
    Flag("seed", "Of rotations and scans.", "N", 0, "integer", least=0),
    Flag("json", "Print JSON.", kind="switch"),
  ),
  run=run,
)
