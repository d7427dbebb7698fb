"""Seconds of a core for the text search of models, by their number.

    python -m experiments.benchmark_text --counts=10000,100000

Names, labels and metadata are invented: words of a hardware catalogue, sizes,
and part numbers with punctuation.
"""

import argparse
import random
import resource
import time

from dr3d.database.model import Model
from dr3d.database.text_search import TextIndex

_WORDS = [
  "angle",
  "bar",
  "bearing",
  "cap",
  "elbow",
  "flange",
  "head",
  "hex",
  "nut",
  "pipe",
  "ring",
  "screw",
  "seal",
  "socket",
  "valve",
  "washer",
]
_QUERIES = ("m8x20", "screw m8", "flange ring wurth", "12", "e")
_CHANGED = 100  # models of the second update


def make_model(number: int, draw: random.Random) -> Model:
  """Makes the row of a model."""
  first, second, third = draw.choices(_WORDS, k=3)
  size = f"M{draw.randint(2, 40)}x{draw.randint(5, 200)}"
  part = f"{number:06}-{draw.randint(10, 99)}.{draw.choice('ABC')}"
  return Model(
    f"{first}_{second}/{third}-{size}_{number}.step",
    f"{first}_{second}",
    "",
    "indexed",
    "",
    "",
    metadata={"number": part, "supplier": draw.choice(["Würth", "RS"])},
  )


def main() -> None:
  """Prints a row for each number of models."""
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  parser.add_argument("--counts", default="10000,100000")
  options = parser.parse_args()
  head = ["models", "read, s", f"change {_CHANGED}, s", "MiB"]
  queries = ("part number", *_QUERIES)
  print("| " + " | ".join([*head, *(f"{text!r}, ms" for text in queries)]), "|")
  print("|" + "--:|" * (len(head) + len(queries)))
  for count in map(int, options.counts.split(",")):
    draw = random.Random(0)
    models = [make_model(number, draw) for number in range(count)]
    index = TextIndex()
    start = time.process_time()
    index.update(models)
    read = time.process_time() - start
    models[:_CHANGED] = [
      make_model(number + count, draw) for number in range(_CHANGED)
    ]
    start = time.process_time()
    index.update(models)
    change = time.process_time() - start
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    row = [str(count), f"{read:.1f}", f"{change:.2f}", f"{memory:.0f}"]
    for text in (models[-1].metadata["number"], *_QUERIES):
      start = time.process_time()
      index.find(text)
      row.append(f"{1000 * (time.process_time() - start):.1f}")
    print("| " + " | ".join(row), "|")


if __name__ == "__main__":
  main()
