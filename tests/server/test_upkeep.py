"""What a service does beside its requests: scans for damage, and backups."""

import os
import time

import pytest
from prometheus_client import CollectorRegistry, Counter
from support.mesh_files import wedge
from support.service import WRITE, make_database, serving, stl
from support.standin import MeasuringPipeline

from dr3d.cli.parsing import parse
from dr3d.cli.serve import SUBCOMMAND
from dr3d.cli.serve_settings import make_backup_plan
from dr3d.cli.subcommand import UsageError
from dr3d.database import backup, check
from dr3d.server.background import BackgroundTask
from dr3d.server.backup_job import BackupJob, BackupPlan
from dr3d.server.damage_scan import DamageScanner
from dr3d.server.metric import Metrics
from dr3d.server.token import TokenStore


def wait_for(condition):
  end = time.monotonic() + 60
  while not condition():
    assert time.monotonic() < end
    time.sleep(0.02)


def read_metric(metrics, name):
  lines = metrics.write().decode().splitlines()
  return next(float(line.split()[1]) for line in lines if line.startswith(name))


def damage_file(directory):
  """Changes a byte of a kept file, as a failing disk does."""
  (path,) = (directory / "files").iterdir()
  content = bytearray(path.read_bytes())
  content[90] ^= 1
  path.write_bytes(content)
  return path.name


@pytest.fixture
def directory(tmp_path):
  database = make_database(tmp_path)
  upload = tmp_path / "wedge.stl"
  upload.write_bytes(stl(wedge()))
  database.store(upload, name="wedge.stl")
  return database.directory


def test_scan_finds_damage_and_says_the_way_back(directory, caplog):
  with serving(directory, scan_rate=1e9) as (client, running):
    scanner = running.scanner
    wait_for(lambda: scanner.ended is not None)
    assert scanner.findings == ()
    begin = read_metric(running.metrics, "dr3d_last_scan_timestamp_seconds")
    assert begin == pytest.approx(time.time(), abs=60)
    name = damage_file(directory)
    vectors = next(directory.glob("vectors-*.f32"))
    with vectors.open("r+b") as file:
      file.write(b"\xff")
    assert client.post("/api/scan", headers=WRITE).status_code == 202
    wait_for(
      lambda: not client.get("/api/scan", headers=WRITE).json()["running"]
    )
    found = client.get("/api/scan", headers=WRITE).json()
    assert {(d["kind"], d["name"]) for d in found["damage"]} == {
      ("file", name), ("vectors", "box/flat.stl"),
    }  # fmt: skip
    assert all("dr3d check" in d["advice"] or "backup" in d["advice"]
               for d in found["damage"])  # fmt: skip
    text = running.metrics.write().decode()
    assert 'dr3d_damage_found{kind="file"} 1.0' in text
    assert 'dr3d_damage_found{kind="vectors"} 1.0' in text
    assert 'dr3d_damage_found{kind="row"} 0.0' in text
    assert "damage found: vectors box/flat.stl" in caplog.text
    assert f"dr3d check --db={directory}" in caplog.text
    assert client.get("/api/ready").status_code == 200  # it still answers


def test_scan_reads_no_faster_than_its_rate(directory):
  metrics = Metrics()
  size = sum(
    part.size
    for part in check.scan_parts(
      directory, load_pipeline=MeasuringPipeline.load
    )
  )
  scanner = DamageScanner(
    directory, metrics, rate=size, load_pipeline=MeasuringPipeline.load
  )
  begin = time.monotonic()
  scanner.start()
  wait_for(lambda: scanner.ended is not None)
  assert time.monotonic() - begin > 0.9
  scanner.close()


def test_scan_that_fails_is_counted_and_does_not_end_the_thread(
  directory, caplog
):
  metrics = Metrics()
  scanner = DamageScanner(
    directory, metrics, rate=1e9, load_pipeline=MeasuringPipeline.load
  )
  away = directory.with_name("away")
  directory.rename(away)
  scanner.start()
  wait_for(lambda: read_metric(metrics, "dr3d_scans_failed_total") == 1)
  wait_for(lambda: "the scan for damage failed" in caplog.text)
  assert scanner.ended is None
  away.rename(directory)
  scanner.request()
  wait_for(lambda: scanner.ended is not None)
  assert not scanner.task.error
  scanner.close()


def test_service_without_scan_or_backups_says_so(directory):
  with serving(directory, scan_rate=0) as (client, _):
    for path, flag in (("scan", "--scan"), ("backups", "--backups")):
      response = client.post(f"/api/{path}", headers=WRITE)
      assert response.status_code == 409
      assert flag in response.json()["detail"]


def test_backup_is_made_on_request_and_restores(directory, tmp_path):
  plan = BackupPlan(tmp_path / "backups")
  with serving(directory, backups=plan) as (client, running):
    assert client.get("/api/backups", headers=WRITE).json()["backups"] == []
    assert client.post("/api/backups", headers=WRITE).status_code == 202
    wait_for(
      lambda: not client.get("/api/backups", headers=WRITE).json()["running"]
    )
    found = client.get("/api/backups", headers=WRITE).json()
    assert found["error"] == ""
    (made,) = found["backups"]
    assert made["searchable"] == 5
    name = "dr3d_last_backup_timestamp_seconds"
    assert read_metric(running.metrics, name) > 0
    audit = client.get("/api/audit", headers=WRITE).json()
    assert ("backup", "service") in {(e["what"], e["who"]) for e in audit}
  backup.restore(
    plan.folder / made["name"],
    tmp_path / "again.db",
    load_pipeline=MeasuringPipeline.load,
  )


def test_schedule_makes_backups_and_keeps_some(directory, tmp_path):
  plan = BackupPlan(tmp_path / "backups", hours=1, kept=2)
  for day in (1, 2, 3):
    old = plan.folder / f"2026-01-0{day}T00-00-00Z"
    backup.back_up(directory, old)
  (plan.folder / "2026-01-04T00-00-00Z.partial").mkdir()
  (plan.folder / "other").mkdir()  # of someone else
  job = BackupJob(directory, Metrics(), plan)
  job.start()
  wait_for(lambda: len(os.listdir(plan.folder)) == 3)
  job.close()
  names = sorted(os.listdir(plan.folder))
  assert names[0] == "2026-01-03T00-00-00Z"
  assert names[2] == "other"
  assert 3590 < job._count_seconds() <= 3600


def test_backup_on_a_folder_that_cannot_be_written_is_counted(
  directory, tmp_path, caplog
):
  (tmp_path / "taken").write_text("a file")
  metrics = Metrics()
  job = BackupJob(directory, metrics, BackupPlan(tmp_path / "taken", hours=1))
  job.start()
  wait_for(lambda: read_metric(metrics, "dr3d_backups_failed_total") == 1)
  wait_for(lambda: "the backup failed" in caplog.text)
  job.close()
  assert job.task.error


def test_task_is_called_when_it_is_due_and_when_it_is_asked_for():
  calls, left = [], [0.0, None]
  counter = Counter("failed", "x", registry=CollectorRegistry())
  task = BackgroundTask(
    "task",
    calls.append,
    seconds_left=lambda: left[min(len(calls), 1)],
    failures=counter,
  )
  task.start()
  wait_for(lambda: calls == [task])
  time.sleep(0.1)
  assert calls == [task]
  task.request()
  wait_for(lambda: calls == [task, task])
  task.close()
  task.request()
  assert calls == [task, task]


def test_operator_lists_and_revokes_tokens(directory):
  tokens = TokenStore(directory)
  secret = tokens.add("press 4", "read")
  with serving(directory, public_read=False) as (client, _):
    (row,) = client.get("/api/tokens", headers=WRITE).json()
    assert (row["name"], row["role"]) == ("press 4", "read")
    assert set(row) == {"name", "role", "created"}  # nothing secret
    own = {"Authorization": f"Bearer {secret}"}
    assert client.get("/api/info", headers=own).status_code == 200
    assert client.delete("/api/tokens/press 4", headers=own).status_code == 403
    url = "/api/tokens/press%204"
    assert client.delete(url, headers=WRITE).status_code == 204
    assert client.delete(url, headers=WRITE).status_code == 404
    assert client.get("/api/info", headers=own).status_code == 401
    audit = client.get("/api/audit", headers=WRITE).json()
    revoked = [e for e in audit if e["what"] == "token revoke"]
    assert {e["status"] for e in revoked} == {200, 404}
    assert revoked[0]["detail"] == "press 4"


def test_schedule_without_a_folder_is_a_wrong_call(tmp_path):
  flags = parse(SUBCOMMAND, ["--db=x", "--backup-hours=2"])[0]
  with pytest.raises(UsageError, match="--backup-hours needs --backups"):
    make_backup_plan(flags)
  flags = parse(
    SUBCOMMAND, ["--db=x", f"--backups={tmp_path}", "--backup-hours=2"]
  )[0]
  assert make_backup_plan(flags) == BackupPlan(tmp_path, 2, 7)
