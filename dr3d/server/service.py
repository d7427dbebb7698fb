"""The service without HTTP: queries, previews and changes of one database."""

import dataclasses
import getpass
import logging
import pathlib
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Literal, TypeVar

import numpy as np

from dr3d.data import folder
from dr3d.database import catalogue
from dr3d.database.condition import Condition
from dr3d.database.embedding import LoadPipeline
from dr3d.database.writer import Database
from dr3d.error import Dr3dError, LockError
from dr3d.image.mask import Box
from dr3d.mesh import Mesh
from dr3d.mesh.packing import unpack_mesh
from dr3d.mesh.unit import Unit, mark_given
from dr3d.registration.deviation import Deviation
from dr3d.registration.relation import VERIFIED_COUNT
from dr3d.registration.surface import Fit
from dr3d.search.answer import UNVERIFIED, Answer
from dr3d.search.query import Query
from dr3d.search.size import SizeMode
from dr3d.server import preview, schema
from dr3d.server.audit import AuditLog
from dr3d.server.backup_job import BackupJob
from dr3d.server.batch import Batcher
from dr3d.server.damage_scan import DamageScanner
from dr3d.server.duplicate_job import DuplicateJobs
from dr3d.server.http_error import HttpError
from dr3d.server.metric import Metrics
from dr3d.server.photo import PhotoQueries
from dr3d.server.settings import ServerConfig
from dr3d.server.state import State, read_state
from dr3d.server.token import TokenStore
from dr3d.server.warmup import warm_up
from dr3d.server.worker import WorkerPool
from dr3d.server.writer import SharedPipeline, Writer

T = TypeVar("T")

_LOG = logging.getLogger("dr3d.server")
_POLL_SECONDS = 2.0  # between checks for changes by other processes
# Failed refreshes in a row: so many until the service says that its state is
# old, and one line in the log for each so many.
_MAX_FAILURES, _LOGGED_FAILURES = 5, 30


@dataclasses.dataclass(frozen=True)
class QueryOptions:
  """Options of a query.

  Attributes:
    k: matches wanted.
    condition: which models are searched.
    min_score: of a match.
    verify: how many of the first matches are registered to the query.
    evidence: whether to return views and a GLB of the query.
    unit: of a file that states none; None for that of the database.
    size: how the true size takes part; see `size.SIZE_MODES`.
  """

  k: int = 10
  condition: Condition = dataclasses.field(default_factory=Condition)
  min_score: float = -1.0
  verify: int = VERIFIED_COUNT
  evidence: bool = False
  unit: Unit | None = None
  size: SizeMode = "prefer"


class Service:
  """Answers from a database; many threads may call its methods.

  Attributes:
    state: of the database, from which requests are answered.
    status: whether it is ready; "stale" if it answers from a state that it
      could not refresh for some time.
    error: why it failed.
    tokens: who may call.
    audit: log of changes.
    scanner: looks for damage in the database.
    backups: made by schedule or on request.
    protections: what the kernel takes from the processes that read uploads.
  """

  def __init__(
    self,
    directory: pathlib.Path,
    config: ServerConfig | None = None,
    *,
    load_pipeline: LoadPipeline | None = None,
  ):
    """Opens the database; `start` makes the service ready.

    Args:
      directory: of the database.
      config: limits of the service.
      load_pipeline: see `DatabaseReader.open`.

    Raises:
      DatabaseError: the directory holds no database, or a damaged one.
    """
    self.directory = directory
    self.config = config or ServerConfig()
    self.metrics = Metrics()
    self.tokens = TokenStore(directory, own=self.config.token)
    self.audit = AuditLog(directory)
    self.protections: list[str] = []
    self.state = read_state(directory, load_pipeline=load_pipeline)
    self.status: Literal["warming", "ready", "stale", "failed"] = "warming"
    self.error = ""
    self.batcher = Batcher(
      limit=2 * self.config.queue, observe=self.metrics.batch.observe
    )
    self.previews = preview.PreviewCache(
      self.batcher, timeout=self.config.timeout
    )
    self.duplicate_jobs = DuplicateJobs(
      directory, memory=self.config.reading.memory
    )
    self._load_pipeline = load_pipeline
    self._workers = WorkerPool(self.config, self.metrics)
    self._photos = PhotoQueries(self._workers, self.batcher, self.config)
    self.scanner = DamageScanner(
      directory,
      self.metrics,
      rate=self.config.scan_rate,
      load_pipeline=load_pipeline,
    )
    self.backups = BackupJob(directory, self.metrics, self.config.backups)
    self._writer = Writer(directory, timeout=self.config.timeout)
    self._stamp: tuple[tuple[int, int], ...] = ()
    self._closing = threading.Event()
    self._watcher = threading.Thread(target=self._watch, daemon=True)

  @property
  def is_ready(self) -> bool:
    """Whether queries are answered."""
    return self.status in ("ready", "stale")

  def start(self) -> None:
    """Starts a thread that loads and compiles what queries need."""
    self.audit.write("start", who=getpass.getuser())
    self._watcher.start()

  def close(self) -> None:
    """Ends threads and processes."""
    self._closing.set()
    self.scanner.close()
    self.backups.close()
    self.batcher.close()
    self._workers.close()
    self.duplicate_jobs.close()
    self.audit.write("stop", who=getpass.getuser())

  def check_ready(self) -> State:
    """Returns the state to answer from.

    Raises:
      HttpError: the service is not ready.
    """
    if self.status == "warming":
      raise HttpError(
        503, "the service is warming up: try again.", retry_after=5
      )
    if self.status == "failed":
      raise HttpError(503, f"the service could not start: {self.error}")
    return self.state

  def query(
    self, file: folder.ModelFile, options: QueryOptions, address: str = ""
  ) -> schema.Answer:
    """Answers which models an uploaded file looks like.

    Args:
      file: path and name of the upload.
      options: of the query.
      address: who asks; see `WorkerPool.read`.

    Raises:
      Dr3dError: the file cannot be read, or the query fails.
    """
    state = self.check_ready()
    processed = self._workers.read(
      file.path,
      file.name,
      reader=state.reader,
      unit=options.unit,
      preview=options.evidence,
      address=address,
    )
    mesh = processed.mesh
    features = self._embed(state, mesh)
    unit = processed.unit
    shape = _describe(mesh, mark_given(unit) if options.unit else unit)
    if options.evidence:
      shape.show(
        self.previews.render(state, mesh),
        processed.preview,
        preview.draw_picture(mesh),
      )
    return self._answer(state, file.name, shape, mesh, features, options)

  def query_photo(
    self,
    files: Sequence[folder.ModelFile],
    options: QueryOptions,
    region: Box | None,
    address: str = "",
  ) -> schema.Answer:
    """Answers which models one thing in uploaded photographs looks like.

    Args:
      files: paths and names of the uploads.
      options: of the query.
      region: a box around the thing, of one photograph.
      address: who asks; see `WorkerPool.read`.

    Raises:
      Dr3dError: a photograph cannot be read, or the query fails.
    """
    return self._photos.answer(
      self.check_ready(), files, options, region, address
    )

  def query_similar(self, name: str, options: QueryOptions) -> schema.Answer:
    """Answers which other models a model of the database looks like.

    Raises:
      Dr3dError: there is no such model, or its mesh is not stored.
    """
    state = self.check_ready()
    model = state.find(name)
    mesh = unpack_mesh(state.find_shape(name).mesh)
    features = state.reader.find_features(name)
    if features is None:
      features = self._embed(state, mesh)
    is_given = model.unit_source == "given"
    shape = _describe(mesh, mark_given(model.unit) if is_given else model.unit)
    return self._answer(
      state, name, shape, mesh, features, options, exclude=(name,)
    )

  def overlay(
    self, file: folder.ModelFile, name: str, unit: Unit | None, address: str
  ) -> Deviation:
    """Measures how far an uploaded file lies from a model.

    Args:
      file: path and name of the upload.
      name: of the model.
      unit: of a file that states none; None for that of the database.
      address: who asks; see `WorkerPool.read`.

    Raises:
      Dr3dError: the file cannot be read, or there is no such model.
    """
    state = self.check_ready()
    shape = state.find_shape(name)
    processed = self._workers.read(
      file.path,
      file.name,
      reader=state.reader,
      unit=unit,
      preview=False,
      address=address,
    )
    return self._workers.overlay(processed.mesh, shape.mesh)

  def overlay_model(self, query: str, name: str) -> Deviation:
    """Measures how far a model lies from another one.

    Raises:
      HttpError: there is no such model, or its mesh is not stored.
    """
    state = self.check_ready()
    mesh = unpack_mesh(state.find_shape(query).mesh)
    return self._workers.overlay(mesh, state.find_shape(name).mesh)

  def add(
    self, file: folder.ModelFile, address: str = ""
  ) -> tuple[catalogue.Model, bool]:
    """Adds a model; the database keeps a copy of its file.

    Args:
      file: the upload, with the name, label, metadata and unit of the model.
      address: who sends it; see `WorkerPool.read`.

    Returns:
      The model, and whether it is new; it is not if the database has the same
      file under this name.

    Raises:
      Dr3dError: the file cannot be read, another model has this name, or the
        database cannot be written.
    """
    state = self.check_ready()
    processed = self._workers.read(
      file.path,
      file.name,
      reader=state.reader,
      unit=file.unit,
      preview=False,
      address=address,
    )
    report = self._change(
      lambda database: database.store_file(file, processed=processed)
    )
    if report.failures:
      raise HttpError(422, report.failures[0].reason)
    return self.state.find(file.name), not report.unchanged

  def edit(
    self, name: str, label: str | None, metadata: Mapping[str, str] | None
  ) -> catalogue.Model:
    """Changes label and metadata of a model; None keeps them.

    Raises:
      Dr3dError: there is no such model, or the database cannot be written.
    """
    self.check_ready().find(name)
    self._change(
      lambda database: database.edit(name, label=label, metadata=metadata)
    )
    return self.state.find(name)

  def show_columns(self, keys: Sequence[str]) -> None:
    """Chooses the metadata that is shown with a model.

    Raises:
      Dr3dError: no model has such a key, or the database cannot be written.
    """
    self.check_ready()
    known = {
      key for model in self.state.models.values() for key in model.metadata
    }
    for key in keys:
      if key not in known:
        raise HttpError(422, f"no model has metadata {key!r}.")
    self._change(lambda database: database.show_columns(keys))

  def remove(self, name: str) -> None:
    """Removes a model and the database's copy of its file.

    Raises:
      Dr3dError: there is no such model, or the database cannot be written.
    """
    self.check_ready().find(name)
    self._change(lambda database: database.remove([name]))

  def find_file(self, name: str) -> pathlib.Path:
    """Returns the path of a model's file, if it is as it was indexed.

    Raises:
      HttpError: there is no such model, or its file is gone or has changed.
    """
    state = self.state
    path = state.reader.find_file(state.find(name))
    if path is None:
      raise HttpError(
        404, f"the file of {name!r} is gone or has changed since it was read."
      )
    return path

  def _embed(self, state: State, mesh: Mesh) -> np.ndarray:
    return self.batcher.embed(
      state.reader.pipeline, mesh, timeout=self.config.timeout
    )

  def _answer(
    self,
    state: State,
    name: str,
    shape: schema.Shape,
    mesh: Mesh,
    features: np.ndarray,
    options: QueryOptions,
    *,
    exclude: tuple[str, ...] = (),
  ) -> schema.Answer:
    unverified = False

    def register(mesh: Mesh, packed: Mapping[str, bytes]) -> Mapping[str, Fit]:
      nonlocal unverified
      fits = self._workers.register(mesh, packed)
      unverified = fits is None
      return fits or {}

    answer = state.reader.query(
      Query(features, mesh=mesh, unit=shape.unit),
      k=options.k,
      exclude=exclude,
      condition=None if options.condition == Condition() else options.condition,
      min_score=options.min_score,
      verify=options.verify,
      size=options.size,
      register=register,
    )
    if unverified:
      answer = _reject_unverified(answer)
    return schema.make_answer(
      name, shape, answer, state.models, unverified=unverified
    )

  def _change(self, function: Callable[[Database], T]) -> T:
    return self._writer.change(
      function, self._share_pipeline(), then=self._refresh
    )

  def _share_pipeline(self) -> SharedPipeline:
    return SharedPipeline(
      self.state.reader.pipeline, self.batcher, self.config.timeout
    )

  def _refresh(self) -> None:
    """Reads the database again; the caller makes other changes wait."""
    stamp = self._writer.stamp()
    before = self.state.reader
    state = read_state(
      self.directory,
      pipeline=before.pipeline,
      load_pipeline=self._load_pipeline,
    )
    if state.reader.fingerprint != before.fingerprint:
      warm_up(state, self.batcher)
    self.state, self._stamp = state, stamp

  def _watch(self) -> None:
    """Warms up; then follows changes by other processes until `close`."""
    try:
      self.protections = self._workers.start()
      _LOG.info(
        "processes that read uploads have these protections: %s",
        ", ".join(self.protections) or "none, use Linux for some",
      )
      warm_up(self.state, self.batcher)
      with self._writer.hold():
        self._recover()
        self._refresh()
      self.status = "ready"
      self.scanner.start()
      self.backups.start()
    except Exception as error:
      # The page shows the reason, and must not tell where the database is.
      reason = str(error).replace(str(self.directory), self.directory.name)
      self.status, self.error = "failed", folder.to_text(reason)
      _LOG.error("%s", reason)
      return
    failures = 0
    while not self._closing.wait(_POLL_SECONDS):
      try:
        self._follow()
      # The former state answers until the next attempt. Whatever the error is,
      # this thread must live, or no later change would be seen.
      except Exception as error:
        failures += 1
        self._note_failed_refresh(error, failures)
      else:
        failures = 0
        self.metrics.refreshes_failed_in_row.set(0)
        if not self._closing.is_set():
          self.status, self.error = "ready", ""

  def _follow(self) -> None:
    """Reads the database again if another process has changed it."""
    if self._writer.stamp() != self._stamp:
      with self._writer.hold():
        self._refresh()

  def _note_failed_refresh(self, error: Exception, failures: int) -> None:
    """Counts a failure, logs some of many, and says that the state is old."""
    self.metrics.refreshes_failed.inc()
    self.metrics.refreshes_failed_in_row.set(failures)
    if failures == 1 or failures % _LOGGED_FAILURES == 0:
      _LOG.error(
        "changes of the database cannot be read (attempt %d, %s: %s)",
        failures,
        type(error).__name__,
        error,
      )
    if failures >= _MAX_FAILURES:
      self.status = "stale"
      self.error = "changes of the database cannot be read: see the log."

  def _recover(self) -> None:
    """Indexes what a service accepted before it was killed."""
    database = Database.open(self.directory)
    database.pipeline = self._share_pipeline()
    try:
      database.recover()
    except LockError:  # the process that writes now, or the next start, will
      return


def wait_until_ready(service: Service, *, seconds: float) -> None:
  """Waits until a service is ready.

  Raises:
    Dr3dError: it failed, or takes longer.
  """
  end = time.monotonic() + seconds
  while service.status == "warming" and time.monotonic() < end:
    time.sleep(0.02)
  if service.status != "ready":
    raise Dr3dError(f"the service is {service.status}. {service.error}")


def _reject_unverified(answer: Answer) -> Answer:
  """An answer whose votes alone are not enough to accept it."""
  prediction = answer.prediction
  if prediction.accepted:
    prediction = dataclasses.replace(prediction, reject_reason=UNVERIFIED)
  return dataclasses.replace(answer, prediction=prediction)


def _describe(mesh: Mesh, unit: str) -> schema.Shape:
  a, b, c = map(float, mesh.extent)
  return schema.Shape(extent=(a, b, c), unit=unit, face_count=len(mesh.faces))
