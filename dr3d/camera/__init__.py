"""Conventions of cameras, lights and images, on one page.

```
      object                        view                     picture
                                                       0    1    2    3  x
   z |                           y |                  0+----+----+----+-->
     |                             |                   |    |    |    |
     |____ y     R(q) p + offset   |____ x            1+----+----+----+
    /            ------------->   /                    |    | o  |    |
   / x                           / z                  2+----+----+----+
                                /                      |    |    |    |
   right-handed             camera, which             3+----+----+----+
                            looks along -z            y|
```

Object. Right-handed axes, any way up; `look_at` and the fixed sets of views
take z for up. The unit of length is the radius of the unit sphere, which holds
the object.

Rotation. A quaternion is (w, x, y, z). It turns vectors of the object into the
axes of the view: `p ↦ R(q) p`, world to camera. The rows of R are the axes of
the view in those of the object. q and -q are one rotation, and any length of q
will do. A turn by the angle φ about the unit vector n is
`(cos φ/2, n sin φ/2)`, counter-clockwise seen from the tip of n.

View. x points to the right, y up, z towards the camera, which stands at
`(0, 0, distance)` and looks along -z. The origin of the object stands at
`(offset x, offset y, 0)`, and offset is 0 where it is None. Lights are given in
these axes: a direction points from the object to the light, and a point light
stands at its position.

Depth is measured along the optical axis: `distance - z`. It is positive before
the camera, and larger is farther.

Picture. `fov` is the vertical angle that a square picture of `size × size`
pixels shows. The first row is the top one. Pixel coordinates are continuous, x
to the right and y down, (0, 0) is the corner of the picture, and pixel [i, j]
(row i, column j) is the square with the centre (j + 1/2, i + 1/2): the o is the
centre of [1, 1]. With `f = size / 2 / tan(fov / 2)`, a point falls on

    x = size / 2 + size · principal x + f · x / depth
    y = size / 2 + size · principal y - f · y / depth

where principal is 0 if it is None. An orthographic camera has `distance` in the
place of `depth`. So much for the framing "sphere"; the framing "object" then
zooms and moves each picture, and sets principal aside. `bake_framing` gives the
views that do the same without it.

Image. Red, green and blue are linear and multiplied by alpha, so
`image[..., :3] + (1 - alpha) * background` lays it over a background. Depth and
normals are not multiplied by alpha. Normals are in the axes of the view, on the
side of their face that the camera sees.

OpenCV. `x_cv = R p + t` has x to the right, y down and z forward. Its pixel
centres are whole numbers, and so `x_cv = x - 1/2`, `y_cv = y - 1/2`.

OpenGL. The view matrix takes the object to the eye, which stands at the origin
and looks along -z, y up: the axes of the view, moved by distance. After the
projection and the division by w, x and y go from -1 to 1, to the right and up,
and z from -1 at the near to 1 at the far plane. Matrices multiply columns. Of
a window with its corner at the lower left, the centres are at + 1/2 as well.

Shapes: `N` views, `P` points.
"""
