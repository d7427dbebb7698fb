r"""Trains a pipeline on the train split of a folder.

    python -m experiments.train --config=experiments/configs/part.py \
      --data=parts --workdir=work/part

Flags override fields of the config: `--config.optimizer.steps=100`. The same
command resumes an interrupted run, also if a host was lost of several that
--coordinator joins. With `--init` the run starts from G and T of
another pipeline and keeps its configuration.
"""

import dataclasses

from absl import app, flags
from ml_collections import config_flags

from dr3d.cli import console, environment, pipeline_flag
from dr3d.runtime.config import from_values
from experiments.partition import read_splits

CONFIG = config_flags.DEFINE_config_file(
  "config", None, "Configuration of the run."
)
WORKDIR = flags.DEFINE_string(
  "workdir", None, "Folder of the run; made.", required=True
)
DATA = flags.DEFINE_string("data", None, "Folder of mesh files.", required=True)
INDEX = flags.DEFINE_string(
  "index_csv", None, "Table: class, file, split. Default: DATA/index.csv."
)
INIT = flags.DEFINE_string(
  "init", None, "Pipeline, run or database to start from, or `pretrained`."
)
COORDINATOR = flags.DEFINE_string(
  "coordinator",
  None,
  "HOST:PORT of the first of several hosts, or `cluster` if the cluster says"
  " it, as TPU pods and Slurm do. Each host runs the same command.",
)
HOSTS = flags.DEFINE_integer("hosts", None, "Number of hosts.")
HOST = flags.DEFINE_integer("host", None, "Number of this host, from 0.")
flags.mark_flag_as_required("config")


def main(_) -> None:
  environment.prepare(verbosity=-2)
  if COORDINATOR.value:
    from dr3d.runtime import host

    address = None if COORDINATOR.value == "cluster" else COORDINATOR.value
    host.connect(address, count=HOSTS.value, index=HOST.value)
  from dr3d.retrieval.recipe import TrainConfig
  from dr3d.retrieval.train import train

  config = from_values(TrainConfig, CONFIG.value.to_dict())
  init = pipeline_flag.load_pipeline(INIT.value) if INIT.value else None
  if init is not None:
    config = dataclasses.replace(config, pipeline=init.config)
  files = read_splits(DATA.value, INDEX.value)["train"]
  reading = console.read_models(files, face_budget=config.pipeline.face_budget)
  train(
    reading.meshes,
    reading.labels,
    config=config,
    workdir=WORKDIR.value,
    init=init,
  )


if __name__ == "__main__":
  app.run(main)
