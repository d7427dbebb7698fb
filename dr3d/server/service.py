"""The service without HTTP: queries, pictures and files of one database."""

import collections
import dataclasses
import functools
import pathlib
import threading
import time
from typing import Any

import dr3d
from dr3d import folder
from dr3d.error import Dr3dError
from dr3d.mesh.glb import write_glb
from dr3d.mesh.meshfile import FORMATS
from dr3d.mesh.packing import unpack_mesh
from dr3d.search import catalogue
from dr3d.search.condition import Condition
from dr3d.server import picture, reading, schema
from dr3d.server.batch import LARGEST, Batcher
from dr3d.server.config import ServerConfig
from dr3d.server.refusal import Refusal
from dr3d.server.state import State, read_state
from dr3d.unit import UNITS
from dr3d.worker import Pool, WorkerError

_READ = "dr3d.server.reading:read_upload"
_VALUES = 100  # of a key of the metadata that are told
_PICTURED = 256  # models whose views are kept ready
_WARM = 48  # models that are embedded before the service is ready


@dataclasses.dataclass(frozen=True)
class Ask:
  """What is asked of a query.

  Attributes:
    k: matches.
    condition: which models are searched.
    min_score: of a match.
    compare: matches that are laid upon the query.
    evidence: whether pictures and a GLB are wanted.
    unit: of a file that states none; None for that of the database.
  """

  k: int = 10
  condition: Condition = dataclasses.field(default_factory=Condition)
  min_score: float = -1.0
  compare: int = 3
  evidence: bool = False
  unit: str | None = None


class Service:
  """Answers from a database; its methods may be called by many threads."""

  def __init__(self, directory: pathlib.Path, config: ServerConfig):
    """Opens the database; `start` makes it ready.

    Raises:
      DatabaseError: the directory holds no database, or a damaged one.
    """
    self.directory = directory
    self.config = config
    self.state = read_state(directory)
    self.status = "warming"
    self.error = ""
    self.batcher = Batcher(bound=2 * config.queue)
    self.pool = Pool(_READ, limits=config.reading, count=config.readers)
    self._pictures: collections.OrderedDict[tuple, tuple[bytes, ...]] = (
      collections.OrderedDict()
    )
    self._whitened: dict[str, Any] = {}

  def start(self) -> None:
    """Begins to load and compile what queries need, in a thread."""
    threading.Thread(target=self._warm, daemon=True).start()

  def close(self) -> None:
    """Ends threads and processes."""
    self.batcher.close()
    self.pool.close()

  def query(self, path: pathlib.Path, name: str, ask: Ask) -> schema.Answer:
    """Answers which models an uploaded file looks like.

    Args:
      path: of the file.
      name: what the user calls it.
      ask: what is asked.

    Raises:
      Dr3dError: the file cannot be read, or it is not answered.
    """
    state = self._ready()
    upload = self.read(path, name, unit=ask.unit, viewer=ask.evidence)
    mesh = upload.specimen.mesh
    features = self.batcher.embed(
      state.archive.pipeline, mesh, patience=self.config.patience
    )
    return self._answer(
      state, name, mesh, features, ask, unit=upload.specimen.unit,
      glb=upload.glb,
    )  # fmt: skip

  def query_similar(self, name: str, ask: Ask) -> schema.Answer:
    """Answers which other models a known one looks like.

    Raises:
      Dr3dError: there is no such model, or it has no mesh.
    """
    state = self._ready()
    row = state.find(name)
    mesh = unpack_mesh(state.find_shape(name).mesh)
    features = state.find_features(name)
    if features is None:
      features = self.batcher.embed(
        state.archive.pipeline, mesh, patience=self.config.patience
      )
    glb = write_glb(mesh) if ask.evidence else b""
    return self._answer(
      state, name, mesh, features, ask, unit=row.unit, glb=glb, known=True
    )

  def read(
    self, path: pathlib.Path, name: str, *, unit: str | None, viewer: bool
  ) -> reading.Upload:
    """Reads an uploaded file in a child process.

    Args:
      path: of the file.
      name: what messages call it.
      unit: of a file that states none; None for that of the database.
      viewer: whether a GLB is wanted.

    Raises:
      Dr3dError: the file cannot be read.
    """
    archive = self.state.archive
    try:
      result = self.pool.call(
        {
          "path": path,
          "face_budget": archive.face_budget,
          "unit": unit or archive.unit,
          "face_limit": self.config.face_limit,
          "viewer": viewer,
        },
        patience=self.config.patience,
      )
    except TimeoutError:
      raise Refusal(
        503, "too many files are being read: try again in a moment.", wait=5
      ) from None
    if isinstance(result, WorkerError):
      raise Refusal(422, f"{name} {result}.")
    if isinstance(result, Dr3dError):
      status = 413 if isinstance(result, reading.FaceLimitError) else 422
      raise Refusal(status, str(result).replace(str(path), name))
    return result

  def draw_views(self, name: str) -> tuple[bytes, ...]:
    """Returns the N views of a model as PNG.

    Raises:
      Dr3dError: there is no such model, or it has no mesh.
    """
    state = self._ready()
    model = state.find(name)
    key = (state.archive.fingerprint, model.hash, model.unit, name)
    if key not in self._pictures:
      mesh = unpack_mesh(state.find_shape(name).mesh)
      self._pictures[key] = self._portray(state, mesh)
      while len(self._pictures) > _PICTURED:
        self._pictures.popitem(last=False)
    return self._pictures[key]

  def write_glb(self, name: str) -> bytes:
    """Returns the stored mesh of a model for a viewer."""
    return write_glb(unpack_mesh(self.state.find_shape(name).mesh))

  def find_file(self, name: str) -> pathlib.Path:
    """Returns where the file of a model is, unchanged since it was indexed.

    Raises:
      Refusal: there is no such model, or its file is gone or has changed.
    """
    state = self.state
    model = state.find(name)
    path = state.archive.find_file(model)
    if path is None:
      raise Refusal(
        404, f"the file of {name!r} is gone or has changed since it was read."
      )
    return path

  def inspect(self) -> schema.Info:
    """What the database holds and the service takes."""
    state = self.state
    indexed = [
      model
      for model in state.models.values()
      if model.state == catalogue.INDEXED
    ]
    labels = collections.Counter(model.label for model in indexed)
    values: dict[str, set[str]] = {}
    for model in indexed:
      for key, value in model.metadata.items():
        values.setdefault(key, set()).add(value)
    states = collections.Counter(
      model.state for model in state.models.values()
    )
    config: Any = None
    viewpoints = None
    if self.status == "ready":
      pipeline: Any = state.archive.pipeline
      config = pipeline.config
      if config.pose == "principal":  # in which a GLB lies
        viewpoints = pipeline.views.quaternion.tolist()
    return schema.Info(
      name=self.directory.name,
      counts={name: states[name] for name in catalogue.STATES},
      labels=[
        schema.LabelCount(label=label, count=count)
        for label, count in sorted(labels.items())
        if label
      ],
      metadata={key: sorted(values[key])[:_VALUES] for key in sorted(values)},
      views=config and config.view_count,
      viewpoints=viewpoints,
      image_size=config and config.render.size,
      unit=state.archive.unit,
      units=list(UNITS),
      formats=[f".{name}" for name in FORMATS],
      limits=schema.Limits(
        bytes=self.config.byte_limit,
        faces=self.config.face_limit,
        seconds=self.config.reading.seconds,
      ),
      writable=self.config.token is not None,
      version=dr3d.__version__,
      pipeline=state.archive.fingerprint,
    )

  def _ready(self) -> State:
    """The state to answer from.

    Raises:
      Refusal: the service is not ready.
    """
    if self.status == "warming":
      raise Refusal(503, "the service is warming up: try again.", wait=5)
    if self.status == "failed":
      raise Refusal(503, f"the service could not start: {self.error}")
    return self.state

  def _answer(
    self,
    state: State,
    name: str,
    mesh: Any,
    features: Any,
    ask: Ask,
    *,
    unit: str,
    glb: bytes,
    known: bool = False,
  ) -> schema.Answer:
    answer = state.archive.answer(
      features,
      mesh,
      k=ask.k,
      exclude=[name] if known else (),
      condition=ask.condition,
      min_score=ask.min_score,
      compare=ask.compare,
    )
    a, b, c = map(float, mesh.extent)
    shape = schema.Shape(
      extent=(a, b, c), unit=unit, face_count=len(mesh.faces)
    )
    if ask.evidence:
      views = self.draw_views(name) if known else self._portray(state, mesh)
      shape.views = [
        picture.to_data_uri(view, "image/png") for view in views
      ]
      shape.glb = picture.to_data_uri(glb, "model/gltf-binary")
    return schema.make_answer(name, shape, answer)

  def _portray(self, state: State, mesh: Any) -> tuple[bytes, ...]:
    from dr3d import sheet

    pipeline: Any = state.archive.pipeline
    white = self._whitened.get(pipeline.fingerprint)
    if white is None:
      white = sheet.whiten(pipeline)
      self._whitened = {pipeline.fingerprint: white}
    return self.batcher.call(
      functools.partial(picture.draw_views, white, mesh),
      patience=self.config.patience,
    )

  def _warm(self) -> None:
    """Loads the pipeline and compiles what queries will need."""
    try:
      self.batcher.call(
        functools.partial(self._compile, self.state), patience=3600
      )
      self.status = "ready"
    except Exception as error:
      self.status, self.error = "failed", folder.to_text(str(error))

  def _compile(self, state: State) -> None:
    """Embeds and draws models of each size, alone and together."""
    pipeline: Any = state.archive.pipeline
    names = [
      model.name
      for model in state.models.values()
      if model.face_count is not None
    ]
    chosen = names[:: max(1, len(names) // _WARM)]
    shapes = state.archive.load_shapes(chosen)
    meshes = [unpack_mesh(shape.mesh) for shape in shapes.values()]
    for start in range(0, len(meshes), LARGEST):
      pipeline.embed(meshes[start : start + LARGEST])
    for mesh in meshes[:2]:
      pipeline.embed([mesh])


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
