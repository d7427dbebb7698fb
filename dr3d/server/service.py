"""The service without HTTP: queries, pictures and changes of one database."""

import dataclasses
import logging
import pathlib
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from dr3d.data import folder
from dr3d.database.condition import Condition
from dr3d.database.reader import LoadPipeline
from dr3d.database.writer import Database
from dr3d.error import Dr3dError, LockError
from dr3d.mesh.io.glb import write_glb
from dr3d.mesh.packing import unpack_mesh
from dr3d.registration.relation import VERIFIED_COUNT
from dr3d.registration.surface import Fit
from dr3d.runtime.pool import Pool, WorkerError
from dr3d.server import preview, schema, upload_reader
from dr3d.server.batch import Batcher
from dr3d.server.duplicate_job import DuplicateJobs
from dr3d.server.http_error import HttpError
from dr3d.server.metric import Metrics
from dr3d.server.settings import ServerConfig
from dr3d.server.state import State, read_state
from dr3d.server.warmup import warm_up
from dr3d.server.writer import SharedPipeline, Writer

T = TypeVar("T")

_LOG = logging.getLogger("dr3d.server")
_TASKS = "dr3d.server.upload_reader:run"
_LOOK = 2.0  # seconds between looks for changes by other processes


@dataclasses.dataclass(frozen=True)
class QueryOptions:
  """What is asked of a query.

  Attributes:
    k: matches.
    condition: which models are searched.
    min_score: of a match.
    verify: matches that are laid upon the query.
    evidence: whether pictures and a GLB are wanted.
    unit: of a file that states none; None for that of the database.
  """

  k: int = 10
  condition: Condition = dataclasses.field(default_factory=Condition)
  min_score: float = -1.0
  verify: int = VERIFIED_COUNT
  evidence: bool = False
  unit: str | None = None


class Service:
  """Answers from a database; its methods may be called by many threads.

  Attributes:
    state: of the database, from which requests are answered.
    status: "warming", "ready" or "failed".
    error: why it failed.
  """

  def __init__(
    self,
    directory: pathlib.Path,
    config: ServerConfig | None = None,
    *,
    load_pipeline: LoadPipeline | None = None,
  ):
    """Opens the database; `start` makes it ready.

    Args:
      directory: of the database.
      config: its limits.
      load_pipeline: see `DatabaseReader.open`.

    Raises:
      DatabaseError: the directory holds no database, or a damaged one.
    """
    self.directory = directory
    self.config = config or ServerConfig()
    self.metrics = Metrics()
    self.state = read_state(directory, load_pipeline=load_pipeline)
    self._load_pipeline = load_pipeline
    self.status, self.error = "warming", ""
    self.batcher = Batcher(
      bound=2 * self.config.queue, watch=self.metrics.batch.observe
    )
    self.album = preview.PreviewCache(
      self.batcher, patience=self.config.patience
    )
    self._pool = Pool(
      _TASKS, limits=self.config.reading, count=self.config.readers
    )
    self.twins = DuplicateJobs(directory, memory=self.config.reading.memory)
    self._writer = Writer(directory, patience=self.config.patience)
    self._stamp: tuple = ()
    self._ending = threading.Event()
    self._watcher = threading.Thread(target=self._live, daemon=True)

  def start(self) -> None:
    """Begins to load and compile what queries need, in a thread."""
    self._watcher.start()

  def close(self) -> None:
    """Ends threads and processes."""
    self._ending.set()
    self.batcher.close()
    self._pool.close()
    self.twins.close()

  def ready(self) -> State:
    """The state to answer from.

    Raises:
      HttpError: the service is not ready.
    """
    if self.status == "warming":
      raise HttpError(503, "the service is warming up: try again.", wait=5)
    if self.status == "failed":
      raise HttpError(503, f"the service could not start: {self.error}")
    return self.state

  def query(
    self, path: pathlib.Path, name: str, ask: QueryOptions
  ) -> schema.Answer:
    """Answers which models an uploaded file looks like.

    Args:
      path: of the file.
      name: what the user calls it.
      ask: what is asked.

    Raises:
      Dr3dError: the file cannot be read, or it is not answered.
    """
    state = self.ready()
    upload = self._read(path, name, unit=ask.unit, viewer=ask.evidence)
    mesh = upload.processed.mesh
    features = self.batcher.embed(
      state.archive.pipeline, mesh, patience=self.config.patience
    )
    shape = _describe(mesh, upload.processed.unit)
    if ask.evidence:
      shape.show(self.album.draw(state, mesh), upload.glb)
    return self._answer(state, name, mesh, features, ask, shape=shape)

  def query_similar(self, name: str, ask: QueryOptions) -> schema.Answer:
    """Answers which other models a known one looks like.

    Raises:
      Dr3dError: there is no such model, or it has no mesh.
    """
    state = self.ready()
    row = state.find(name)
    mesh = unpack_mesh(state.find_shape(name).mesh)
    features = state.find_features(name)
    if features is None:
      features = self.batcher.embed(
        state.archive.pipeline, mesh, patience=self.config.patience
      )
    shape = _describe(mesh, row.unit)
    if ask.evidence:
      shape.show(self.album.find(state, name), write_glb(mesh))
    return self._answer(
      state, name, mesh, features, ask, shape=shape, exclude=(name,)
    )

  def add(
    self,
    path: pathlib.Path,
    name: str,
    *,
    label: str,
    metadata: dict[str, str],
    unit: str | None,
  ) -> schema.Model:
    """Adds a model; the database keeps a copy of its file.

    Adding the very same file under the same name once more changes nothing.

    Args:
      path: of the file; its ending tells the format.
      name: of the model.
      label: of the model.
      metadata: of the model.
      unit: of a file that states none; None for that of the database.

    Raises:
      Dr3dError: the file cannot be read, another model has this name, or the
        database cannot be written.
    """
    self.ready()
    upload = self._read(path, name, unit=unit, viewer=False)
    digest = folder.hash_file(path)

    def store(database: Database) -> bool:
      known = {model.name: model for model in database.models()}
      if name in known:
        return known[name].hash == digest
      report = database.store(
        path,
        name=name,
        label=label,
        metadata=metadata,
        unit=unit,
        processed=upload.processed,
      )
      if report.failures:  # it gave no usable vectors
        database.remove([name])
        raise HttpError(422, report.failures[0].reason)
      return True

    if not self._change(store):
      raise HttpError(
        409,
        f"the database has another model {name!r}: choose another name, or "
        "remove that one.",
      )
    return schema.make_model(self.state.find(name))

  def label(self, name: str, label: str) -> schema.Model:
    """Gives a model another label.

    Raises:
      Dr3dError: there is no such model, or the database cannot be written.
    """
    self.ready().find(name)
    self._change(lambda database: database.label(name, label))
    return schema.make_model(self.state.find(name))

  def remove(self, name: str) -> None:
    """Removes a model, and the copy of its file that the database has.

    Raises:
      Dr3dError: there is no such model, or the database cannot be written.
    """
    self.ready().find(name)
    self._change(lambda database: database.remove([name]))

  def find_file(self, name: str) -> pathlib.Path:
    """Returns where the file of a model is, unchanged since it was indexed.

    Raises:
      HttpError: there is no such model, or its file is gone or has changed.
    """
    state = self.state
    path = state.archive.find_file(state.find(name))
    if path is None:
      raise HttpError(
        404, f"the file of {name!r} is gone or has changed since it was read."
      )
    return path

  def _answer(
    self,
    state: State,
    name: str,
    mesh: Any,
    features: Any,
    ask: QueryOptions,
    *,
    shape: schema.Shape,
    exclude: tuple[str, ...] = (),
  ) -> schema.Answer:
    answer = state.archive.answer(
      features,
      mesh,
      k=ask.k,
      exclude=exclude,
      condition=None if ask.condition == Condition() else ask.condition,
      min_score=ask.min_score,
      verify=ask.verify,
      fit=self._fit,
    )
    return schema.make_answer(name, shape, answer)

  def _fit(self, mesh: Any, packed: Mapping[str, bytes]) -> dict[str, Fit]:
    """As `verification.register_meshes`, in a child; nothing where it fails."""
    fits = self._call("fit", mesh=mesh, packed=packed)
    return {} if isinstance(fits, WorkerError) else fits

  def _read(
    self, path: pathlib.Path, name: str, *, unit: str | None, viewer: bool
  ) -> upload_reader.Upload:
    """Reads an uploaded file in a child process; messages call it `name`."""
    archive = self.state.archive
    with self.metrics.reading.time():
      result = self._call(
        "read",
        path=path,
        face_budget=archive.face_budget,
        unit=unit or archive.unit,
        face_limit=self.config.face_limit,
        viewer=viewer,
      )
    if isinstance(result, WorkerError):
      raise HttpError(422, f"{name} {result}.")
    if isinstance(result, Dr3dError):
      status = 413 if isinstance(result, upload_reader.FaceLimitError) else 422
      raise HttpError(status, str(result).replace(str(path), name))
    return result

  def _call(self, task: str, **arguments: Any) -> Any:
    try:
      return self._pool.call(
        {"task": task, **arguments}, timeout=self.config.patience
      )
    except TimeoutError:
      raise HttpError(
        503, "too many files are being read: try again in a moment.", wait=5
      ) from None

  def _change(self, function: Callable[[Database], T]) -> T:
    pipeline = self.state.archive.pipeline
    shared = SharedPipeline(pipeline, self.batcher, self.config.patience)
    return self._writer.change(function, shared, then=self._refresh)

  def _refresh(self) -> None:
    """Reads the database anew; whoever calls it keeps changes out."""
    stamp = self._writer.stamp()
    before = self.state.archive
    state = read_state(
      self.directory,
      pipeline=before.pipeline,
      load_pipeline=self._load_pipeline,
    )
    if state.archive.fingerprint != before.fingerprint:
      warm_up(state, self.batcher)
    self.state, self._stamp = state, stamp

  def _live(self) -> None:
    """Warms up; then sees to what other processes write, until the end."""
    try:
      warm_up(self.state, self.batcher)
      with self._writer.hold():
        self._settle()
        self._refresh()
      self.status = "ready"
    except Exception as error:
      reason = str(error).replace(str(self.directory), self.directory.name)
      self.status, self.error = "failed", folder.to_text(reason)
      _LOG.error("%s", reason)
      return
    while not self._ending.wait(_LOOK):
      if self._writer.stamp() != self._stamp:
        try:
          with self._writer.hold():
            self._refresh()
        except Dr3dError:  # the state before answers; the next look may do
          self.metrics.refreshes_failed.inc()

  def _settle(self) -> None:
    """Completes what a service that was killed had accepted."""
    database = Database.open(self.directory)
    database.pipeline = SharedPipeline(
      self.state.archive.pipeline, self.batcher, self.config.patience
    )
    try:
      database.settle()
    except LockError:  # whoever writes now settles, or the next start does
      return


def _describe(mesh: Any, unit: str) -> schema.Shape:
  a, b, c = map(float, mesh.extent)
  return schema.Shape(extent=(a, b, c), unit=unit, face_count=len(mesh.faces))


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
