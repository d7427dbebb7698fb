"""Files of cameras: what is written is read, and what is wrong is named."""

import json

import numpy as np
import pytest
from PIL import Image
from scipy.spatial.transform import Rotation

from dr3d.camera.pose import project_points
from dr3d.camera.view import make_views
from dr3d.error import FieldError
from dr3d.field.camera_file import read_cameras, to_frame
from dr3d.field.reading import read_pictures

VIEWS = make_views(
  Rotation.random(5, random_state=0).as_quat(scalar_first=True), colored=False
)
POINTS = np.float32(np.random.default_rng(0).uniform(-0.5, 0.5, (6, 3)))


def write_set(folder, *, width=40, height=40, **change):
  """Five pictures of `width` x `height` with masks and exact cameras."""
  frames = []
  for i in range(5):
    picture = np.full((height, width, 4), 255, np.uint8)
    picture[:4] = 0
    Image.fromarray(picture).save(folder / f"{i}.png")
    frames.append({"file_path": f"{i}", "object": "ab"[i % 2]})
    frames[-1] |= to_frame(VIEWS, i)
  data = {"frames": frames, **change}
  (folder / "transforms.json").write_text(json.dumps(data))
  return data


def test_cameras_survive_the_file(tmp_path):
  write_set(tmp_path)
  pictures = read_pictures(tmp_path, size=20)
  pixels, _ = project_points(POINTS, VIEWS, size=20)
  found, _ = project_points(POINTS, pictures.views, size=20)
  np.testing.assert_allclose(found, pixels, atol=1e-3)
  assert pictures.names == ("a", "b")
  assert list(pictures.rows) == [0, 1, 0, 1, 0]
  np.testing.assert_allclose(pictures.masks[:, :2], 0)
  # What is transparent is white.
  np.testing.assert_allclose(pictures.images[:, :2], 1)


def test_wide_pictures_are_padded_and_keep_their_cameras(tmp_path):
  write_set(tmp_path, width=80)
  pictures = read_pictures(tmp_path, size=80)
  assert pictures.seen[:, 20:60].all()
  assert not pictures.seen[:, :20].any()
  # The angle is that of the width, so the square shows what the width did.
  pixels, _ = project_points(POINTS, VIEWS, size=80)
  found, _ = project_points(POINTS, pictures.views, size=80)
  np.testing.assert_allclose(found, pixels, atol=1e-2)


def test_radius_and_center_scale_the_world(tmp_path):
  data = write_set(tmp_path)
  for frame in data["frames"]:
    matrix = np.array(frame["transform_matrix"])
    matrix[:3, 3] = 4 * matrix[:3, 3] + [1, 2, 3]
    frame["transform_matrix"] = matrix.tolist()
  write_set(tmp_path, radius=4, center=[1, 2, 3], frames=data["frames"])
  views = read_pictures(tmp_path, size=20).views
  np.testing.assert_allclose(views.distance, VIEWS.distance, rtol=1e-5)


def test_landmarks_replace_missing_cameras(tmp_path):
  data = write_set(tmp_path)
  pixels, _ = project_points(POINTS, VIEWS, size=40)
  for frame, marks in zip(data["frames"], pixels, strict=True):
    del frame["transform_matrix"]
    frame["landmarks"] = np.asarray(marks).tolist()
  write_set(
    tmp_path, frames=data["frames"], canonical_landmarks=POINTS.tolist()
  )
  views = read_pictures(tmp_path, size=20).views
  found, _ = project_points(POINTS, views, size=40)
  np.testing.assert_allclose(found, pixels, atol=0.05)


def test_colmap_text_is_read(tmp_path):
  rows = []
  for i in range(5):
    Image.fromarray(np.zeros((40, 40, 3), np.uint8)).save(tmp_path / f"{i}.png")
    turn = (
      np.diag([1, -1, -1])
      @ Rotation.from_quat(VIEWS.quaternion[i], scalar_first=True).as_matrix()
    )
    q = Rotation.from_matrix(turn).as_quat(scalar_first=True)
    pose = " ".join(map(str, [*q, 0, 0, 3]))
    rows += [f"{i + 1} {pose} 1 {i}.png", ""]
  (tmp_path / "images.txt").write_text("# comment\n" + "\n".join(rows))
  focal = 20 / np.tan(float(VIEWS.fov[0]) / 2)
  lens = f"1 SIMPLE_PINHOLE 40 40 {focal} 20 20\n"
  (tmp_path / "cameras.txt").write_text(lens)
  pictures = read_pictures(tmp_path, size=20)
  assert len(pictures.names) == 1
  np.testing.assert_allclose(
    Rotation.from_quat(pictures.views.quaternion).as_matrix(),
    Rotation.from_quat(VIEWS.quaternion).as_matrix(),
    atol=1e-4,
  )
  np.testing.assert_allclose(pictures.views.distance, 2, rtol=1e-4)


@pytest.mark.parametrize(
  ("change", "message"),
  [
    ({"frames": []}, "list named frames"),
    ({"radius": "big"}, "radius must be a number, got 'big'"),
    ({"radius": 0}, "radius must be positive"),
    ({"frames": [{"file_path": "none"}]}, "frame 0: .*none does not exist"),
    ({"frames": [{"file_path": "0", "transform_matrix": [1]}]}, "frame 0: tra"),
    (
      {"frames": [{"file_path": "0", "transform_matrix": [[1] * 4] * 4}]},
      "must hold a rotation",
    ),
    ({"frames": [{"file_path": "0"}]}, "needs a transform_matrix"),
  ],
)
def test_wrong_file_raises(tmp_path, change, message):
  write_set(tmp_path, **change)
  with pytest.raises(FieldError, match=message):
    read_pictures(tmp_path, size=20)


def test_folder_without_cameras_raises(tmp_path):
  with pytest.raises(FieldError, match="neither transforms"):
    read_cameras(tmp_path)
