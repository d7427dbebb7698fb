"""The service without HTTP: queries, previews and changes of one database."""

import getpass
import logging
import pathlib
import time
from collections.abc import Mapping, Sequence
from typing import TypeVar

import numpy as np

from dr3d.data import folder
from dr3d.database import catalogue
from dr3d.database.embedding import LoadPipeline
from dr3d.database.processed_model import ProcessedModel
from dr3d.error import Dr3dError
from dr3d.image.mask import Box
from dr3d.mesh import Mesh
from dr3d.mesh.packing import unpack_mesh
from dr3d.mesh.unit import Unit, mark_given
from dr3d.registration.deviation import Deviation
from dr3d.server import locating, preview, schema
from dr3d.server.answering import answer_mesh, describe_shape
from dr3d.server.audit import AuditLog
from dr3d.server.backup_job import BackupJob
from dr3d.server.batch import Batcher
from dr3d.server.blending import Blender
from dr3d.server.damage_scan import DamageScanner
from dr3d.server.duplicate_job import DuplicateJobs
from dr3d.server.http_error import HttpError
from dr3d.server.live_state import LiveState, Status
from dr3d.server.metric import Metrics
from dr3d.server.photo import PhotoQueries
from dr3d.server.query_options import QueryOptions
from dr3d.server.settings import ServerConfig
from dr3d.server.state import State
from dr3d.server.token import TokenStore
from dr3d.server.worker import WorkerPool

T = TypeVar("T")

_LOG = logging.getLogger("dr3d.server")


class Service:
  """Answers from a database; many threads may call its methods.

  Attributes:
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
    self.batcher = Batcher(
      limit=2 * self.config.queue, observe=self.metrics.batch.observe
    )
    self._live = LiveState(
      directory,
      self.config,
      self.batcher,
      self.metrics,
      load_pipeline=load_pipeline,
    )
    self.previews = preview.PreviewCache(
      self.batcher, timeout=self.config.timeout
    )
    self.locating = locating.LocateService(
      self.batcher, timeout=self.config.timeout
    )
    self.blender = Blender()
    self.duplicate_jobs = DuplicateJobs(
      directory, memory=self.config.reading.memory
    )
    self._workers = WorkerPool(self.config, self.metrics)
    self._photos = PhotoQueries(self._workers, self.batcher, self.config)
    self.scanner = DamageScanner(
      directory,
      self.metrics,
      rate=self.config.scan_rate,
      load_pipeline=load_pipeline,
    )
    self.backups = BackupJob(directory, self.metrics, self.config.backups)

  @property
  def state(self) -> State:
    """The state of the database that requests are answered from."""
    return self._live.now

  @property
  def status(self) -> Status:
    """Whether the service is ready; see `LiveState`."""
    return self._live.status

  @property
  def error(self) -> str:
    """Why the service failed, or why its state is old."""
    return self._live.error

  @property
  def is_ready(self) -> bool:
    """Whether queries are answered."""
    return self.status in ("ready", "stale")

  def start(self) -> None:
    """Starts a thread that loads and compiles what queries need."""
    self.audit.write("start", who=getpass.getuser())
    self._live.start(before=self._start_workers, after=self._start_jobs)

  def close(self) -> None:
    """Ends threads and processes."""
    self._live.close()
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
    return self._live.check_ready()

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
    shape = describe_shape(mesh, mark_given(unit) if options.unit else unit)
    if options.evidence:
      shape.show(
        self.previews.render(state, mesh),
        processed.preview,
        preview.draw_picture(mesh),
      )
    return answer_mesh(
      state, self._workers, file.name, shape, mesh, features, options
    )

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
    shape = describe_shape(
      mesh, mark_given(model.unit) if is_given else model.unit
    )
    return answer_mesh(
      state,
      self._workers,
      name,
      shape,
      mesh,
      features,
      options,
      exclude=(name,),
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
    processed = self.read_upload(state, file, unit, address)
    return self._workers.overlay(processed.mesh, shape.mesh)

  def overlay_model(self, query: str, name: str) -> Deviation:
    """Measures how far a model lies from another one.

    Raises:
      HttpError: there is no such model, or its mesh is not stored.
    """
    state = self.check_ready()
    mesh = unpack_mesh(state.find_shape(query).mesh)
    return self._workers.overlay(mesh, state.find_shape(name).mesh)

  def read_upload(
    self, state: State, file: folder.ModelFile, unit: Unit | None, address: str
  ) -> ProcessedModel:
    """Reads an uploaded file; see `WorkerPool.read`.

    Raises:
      HttpError: it cannot be read.
    """
    return self._workers.read(
      file.path,
      file.name,
      reader=state.reader,
      unit=unit,
      preview=False,
      address=address,
    )

  def locate(
    self,
    file: folder.ModelFile,
    model: str | None,
    region: tuple[int, int, int, int] | None,
    address: str = "",
  ) -> schema.Located:
    """Finds a model, or what a region shows, in an uploaded picture.

    Args:
      file: path and name of the upload.
      model: name of the model; None for the region.
      region: x, y, width and height, pixels; None for the model.
      address: who asks; see `WorkerPool.read`.

    Raises:
      Dr3dError: there is no such model, or the picture cannot be read.
    """
    state = self.check_ready()
    picture, scale = self._workers.read_picture(
      file.path, file.name, max_side=locating.SIDE, address=address
    )
    return self.locating.locate(
      state, picture, scale, model=model, region=region
    )

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
    processed = self.read_upload(state, file, file.unit, address)
    report = self._live.change(
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
    self._live.change(
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
    self._live.change(lambda database: database.show_columns(keys))

  def remove(self, name: str) -> None:
    """Removes a model and the database's copy of its file.

    Raises:
      Dr3dError: there is no such model, or the database cannot be written.
    """
    self.check_ready().find(name)
    self._live.change(lambda database: database.remove([name]))

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

  def _start_workers(self) -> None:
    self.protections = self._workers.start()
    _LOG.info(
      "processes that read uploads have these protections: %s",
      ", ".join(self.protections) or "none, use Linux for some",
    )

  def _start_jobs(self) -> None:
    self.scanner.start()
    self.backups.start()
    self._photos.start(self.state)

  def _embed(self, state: State, mesh: Mesh) -> np.ndarray:
    return self.batcher.embed(
      state.reader.pipeline, mesh, timeout=self.config.timeout
    )


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
