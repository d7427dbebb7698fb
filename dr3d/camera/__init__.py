"""Conventions of cameras, lights and images, on one page.

```
      object                        view                      image
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

Object. Right-handed axes in any orientation; `look_at` and the fixed sets of
views assume that z is up. The unit of length is the radius of the unit sphere,
which contains the object.

Rotation. A quaternion is (w, x, y, z). It rotates vectors of the object to the
axes of the view: `p ↦ R(q) p`, world to camera. The rows of R are the axes of
the view in those of the object. q and -q are the same rotation, and q need not
have length 1. A rotation by the angle φ about the unit vector n is
`(cos φ/2, n sin φ/2)`, counter-clockwise seen from the tip of n.

View. x points to the right, y up, z towards the camera, which is at
`(0, 0, distance)` and looks along -z. The origin of the object is at
`(offset x, offset y, 0)`; an offset of None is 0. Lights are given in these
axes: a direction points from the object to the light, and a point light has a
position.

Depth is measured along the optical axis: `distance - z`. It is positive in
front of the camera, and larger is farther.

Image plane. `fov` is the vertical angle that a square image of `size × size`
pixels shows. The first row is the top one. Pixel coordinates are continuous, x
to the right and y down, (0, 0) is the corner of the image, and pixel [i, j]
(row i, column j) is the square with the centre (j + 1/2, i + 1/2): the o is the
centre of [1, 1]. With `f = size / 2 / tan(fov / 2)`, a point is projected to

    x = size / 2 + size · principal x + f · x / depth
    y = size / 2 + size · principal y - f · y / depth

where principal is 0 if it is None. An orthographic camera has `distance`
instead of `depth`. This is the framing "sphere". The framing "object" then
zooms and shifts each image and ignores principal; `bake_framing` returns views
that do the same with the framing "sphere".

Colour. Red, green and blue are linear and multiplied by alpha, so
`image[..., :3] + (1 - alpha) * background` composites over a background. Depth
and
normals are not multiplied by alpha. Normals are in the axes of the view, on the
side of their face that the camera sees.

OpenCV. `x_cv = R p + t` has x to the right, y down and z forward. Its pixel
centres are whole numbers, and so `x_cv = x - 1/2`, `y_cv = y - 1/2`.

OpenGL. The view matrix maps the object to the eye, which is at the origin and
looks along -z, y up: the axes of the view, shifted by distance. After the
projection and the division by w, x and y go from -1 to 1, to the right and up,
and z from -1 at the near to 1 at the far plane. Matrices multiply column
vectors. Pixel centres of a window are at + 1/2 as well.

Shapes: `N` views, `P` points.
"""
