"""`dr3d evaluate`: measure the quality of the answers of a database."""

import contextlib
import json
import pathlib
import sys
from typing import TYPE_CHECKING, cast

from dr3d.cli import argument, console, pipeline_flag
from dr3d.cli.subcommand import Flag, FlagValues, Subcommand
from dr3d.registration.relation import VERIFIED_COUNT
from dr3d.search.answer import TARGET_PRECISION

if TYPE_CHECKING:
  from dr3d.database.writer import Database
  from dr3d.evaluation.run import EvaluateConfig, Evaluation
  from dr3d.retrieval.pipeline import Pipeline

METHODS = ("pipeline", "untrained", "lfd", "d2")
"""As `dr3d.evaluation.method.NAMES`, whose module imports SciPy."""


def run(flags: FlagValues, files: list[str]) -> int:
  """Evaluates, then prints and writes the results."""
  del files
  check_arguments(flags)
  from dr3d.database.writer import Database
  from dr3d.evaluation.report import page, summary

  database = Database.open(flags.db)
  evaluation = evaluate(database, flags)
  console.print_failures(evaluation.failures, "left out")
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
  if flags.report:
    path = pathlib.Path(flags.report)
    pipeline = cast("Pipeline", database.pipeline)
    page.write_page(evaluation, means, path, name=name, pipeline=pipeline)
    console.print_error(
      f"{path}: curves, views, best and worst queries, confusions."
    )
  return 0


def check_arguments(flags: FlagValues) -> None:
  """Checks the flags before anything large is imported.

  Raises:
    Dr3dError: a file, folder or method does not exist.
    UsageError: the report has another extension than .html.
  """
  if flags.report:
    argument.check_suffix(
      "evaluate", "report", flags.report, argument.PAGE_SUFFIXES
    )
  argument.check_database(flags.db)
  if flags.queries:
    argument.check_models(flags.queries)
  if flags.labels:
    argument.check_labels(flags.labels)
  if flags.models:
    argument.check_models(flags.models)
  for method in flags.method:
    if method not in METHODS:
      pipeline_flag.find_pipeline(method)


def evaluate(database: "Database", flags: FlagValues) -> "Evaluation":
  """Runs the evaluation that the flags describe."""
  from dr3d.data.folder import find_models, read_labels
  from dr3d.evaluation.report.rankings import write_rankings
  from dr3d.evaluation.run import evaluate_database

  queries = labels = None
  if flags.queries:
    queries = find_models(flags.queries, labels=flags.labels)
  elif flags.labels:
    labels = read_labels(flags.labels)
  with contextlib.ExitStack() as stack:
    sink = None
    if flags.rankings:
      sink = stack.enter_context(write_rankings(flags.rankings))
    return evaluate_database(
      database,
      config=make_config(flags),
      queries=queries,
      labels=labels,
      models=pathlib.Path(flags.models) if flags.models else None,
      sink=sink,
      progress=stack.enter_context(console.stages()),
    )


def make_config(flags: FlagValues) -> "EvaluateConfig":
  """Makes the configuration that the flags describe."""
  from dr3d.evaluation.protocol import Protocol
  from dr3d.evaluation.run import EvaluateConfig

  return EvaluateConfig(
    protocol=Protocol(flags.rotation, scan=flags.scan, seed=flags.seed),
    methods=flags.method,
    similarity=flags.similarity,
    views=flags.views,
    target_precision=flags.threshold,
    verify=flags.verify,
  )


SUBCOMMAND = Subcommand(
  name="evaluate",
  summary="Measure the quality of the answers of a database.",
  details="""
    Without --queries, each model of the database is queried against all others.
    Prints the protocol in one line, models that are both query and answer, and
    a table in percent, with an interval below each mean:

      NN            the first model has the class of the query
      FT, ST        share of the class among the first n and 2n models, where n
                    is the number of models of the class
      E             E-measure of the first 32 models
      DCG, mAP      discounted cumulative gain, mean average precision
      vote          the predicted label is right
      accepted      the prediction is accepted
      right         share of right labels among accepted predictions
      false_accept  the prediction would be accepted if the database had no
                    model of the class

    micro is the mean over queries, macro the mean over classes. Below the table
    are the accepted predictions that are wrong.

    The methods are pipeline, that of the database; untrained, the same network
    with random weights and evenly distributed views; lfd, the light field
    descriptor; d2, the distribution of distances; or the folder of another
    pipeline. All get the same queries.

    Each method is searched in several ways: exact ranks all models by
    similarity; approximate ranks those that ScaNN finds, if it is installed;
    verified also registers the first models of the pipeline with each query, as
    dr3d query does. With --similarity=view_aligned, the default, the neighbours
    that the first 128 models have in common with the query count in all three.
  """,
  example="""
    dr3d evaluate --db=parts.db --rotation=so3
    dr3d evaluate --db=parts.db --queries=more_parts --method=pipeline,lfd,d2
  """,
  flags=(
    Flag("db", "Folder of the database.", "DIR", required=True),
    Flag("queries", "Folder of query models.", "DIR"),
    Flag(
      "labels",
      "Table with the columns file and class, of the queries or, without"
      " --queries, of the models. Without it, the class of a model is the name"
      " of its folder.",
      "FILE.csv",
    ),
    Flag(
      "models",
      "Folder of the database's files, if they have moved since dr3d index.",
      "DIR",
    ),
    Flag(
      "method",
      f"Methods to compare: {', '.join(METHODS)}, or folders of pipelines.",
      "NAME,...",
      "pipeline",
      "names",
    ),
    Flag(
      "rotation",
      "Rotation of each query: none, z (a random angle about the z axis) or so3"
      " (a random rotation).",
      "NAME",
      "none",
      choices=("none", "z", "so3"),
    ),
    Flag("scan", "Replace each query by a simulated scan.", kind="switch"),
    Flag(
      "views",
      "Number of views of a pipeline to use, as far apart as possible. Default:"
      " all.",
      "N",
      kind="integer",
      minimum=1,
    ),
    Flag(
      "similarity",
      "Similarity of the vectors of two models. max: mean over the query's"
      " views of the largest cosine; symmetric: mean of max in both directions;"
      " pooled: cosine of the summed vectors; aligned: mean cosine of equal"
      " views; view_aligned: mean of max and aligned, as in dr3d query; vote:"
      " number of votes, then max.",
      "NAME",
      "view_aligned",
      choices=("max", "symmetric", "pooled", "aligned", "view_aligned", "vote"),
    ),
    Flag(
      "verify",
      "Number of models to register with each query.",
      "N",
      VERIFIED_COUNT,
      "integer",
      minimum=0,
    ),
    Flag(
      "threshold",
      "Target precision of accepted predictions: a prediction is accepted if at"
      " least this share of such predictions is right.",
      "SHARE",
      TARGET_PRECISION,
      "number",
      minimum=0,
      maximum=1,
    ),
    Flag(
      "rankings",
      "File to write with all ranked lists: query, rank, model, score.",
      "FILE.csv",
    ),
    Flag(
      "report",
      "Page to write, with precision-recall curves, views, best and worst"
      " queries, and confused classes.",
      "FILE.html",
    ),
    Flag("seed", "Seed of rotations and scans.", "N", 0, "integer", minimum=0),
    Flag("json", "Print JSON.", kind="switch"),
  ),
  run=run,
)
