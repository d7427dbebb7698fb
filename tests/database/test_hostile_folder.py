"""One hostile file in a folder fails alone; the others are indexed."""

import json
import os
import time

import pytest
import trimesh
from support.upkeep import Pipeline

from dr3d.database.file_reader import FileReader
from dr3d.database.writer import Database
from dr3d.runtime.pool import Limits

ASSET = {"asset": {"version": "2.0"}}


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_hostile_gltf_files_fail_alone_and_within_their_limits(tmp_path):
  models = tmp_path / "models"
  models.mkdir()
  trimesh.creation.box((1, 2, 3)).export(models / "good.stl")
  trimesh.creation.box((1, 2, 4)).export(models / "good.glb")
  nested = b'{"asset":{"version":"2.0"},"buffers":' + b"[" * 200_000
  (models / "nested.gltf").write_bytes(nested)
  os.mkfifo(models / "pipe.bin")
  for name, uri in (
    ("endless.gltf", "/proc/self/pagemap"),
    ("pipe.gltf", "pipe.bin"),
    ("device.gltf", "../../../../../../../dev/zero"),
  ):
    buffer = {"uri": uri, "byteLength": 36}
    tree = {**ASSET, "buffers": [buffer]}
    (models / name).write_text(json.dumps(tree))
  database = Database.create(tmp_path / "db", Pipeline())
  reader = FileReader(jobs=1, limits=Limits(seconds=3, memory=1 << 30))
  begin = time.monotonic()
  report = database.update(models, reader=reader)
  assert time.monotonic() - begin < 60
  assert {failure.model for failure in report.failures} == {
    "nested.gltf", "endless.gltf", "pipe.gltf", "device.gltf",
  }  # fmt: skip
  assert report.new == 2
  assert all(failure.reason for failure in report.failures)
  assert not any("defect" in failure.reason for failure in report.failures)


def test_gltf_that_cannot_be_hashed_within_its_limits_fails_alone(tmp_path):
  models = tmp_path / "models"
  models.mkdir()
  trimesh.creation.box((1, 2, 3)).export(models / "good.stl")
  # Parsed, this text takes 50 times the memory that the process may have.
  text = '{"asset":{"version":"2.0"},"buffers":[' + "[]," * 9_000_000 + "[]]}"
  (models / "wide.gltf").write_text(text)
  database = Database.create(tmp_path / "db", Pipeline())
  reader = FileReader(jobs=1, limits=Limits(seconds=60, memory=64 << 20))
  report = database.update(models, reader=reader)
  (failure,) = report.failures
  assert failure.model == "wide.gltf"
  assert "needs more than 64 MiB of memory" in failure.reason
  assert report.new == 1
