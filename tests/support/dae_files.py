"""COLLADA files, written element by element."""

import numpy as np

_SPACE = "http://www.collada.org/2005/11/COLLADASchema"


def geometry(name: str, vertices, primitive: str) -> str:
  """A geometry; `primitive` reads its vertices from #NAME-v at offset 0."""
  numbers = " ".join(map(str, np.reshape(vertices, -1)))
  params = "".join(f'<param name="{axis}" type="float"/>' for axis in "XYZ")
  return (
    f'<geometry id="{name}"><mesh><source id="{name}-p">'
    f'<float_array id="{name}-a" count="{3 * len(vertices)}">{numbers}'
    "</float_array><technique_common>"
    f'<accessor source="#{name}-a" count="{len(vertices)}" stride="3">{params}'
    f'</accessor></technique_common></source><vertices id="{name}-v">'
    f'<input semantic="POSITION" source="#{name}-p"/></vertices>{primitive}'
    "</mesh></geometry>"
  )


def triangles(name: str, faces) -> str:
  """A list of triangles of a geometry."""
  return (
    f'<triangles count="{len(faces)}">{vertex_input(name)}'
    f"<p>{numbers(faces)}</p></triangles>"
  )


def vertex_input(name: str) -> str:
  return f'<input semantic="VERTEX" source="#{name}-v" offset="0"/>'


def numbers(values) -> str:
  return " ".join(str(int(x)) for x in np.reshape(values, -1))


def dae(geometries: str, nodes: str, *, libraries="", meter=0.001) -> str:
  """A file; lengths in millimetres unless `meter` says otherwise."""
  return (
    f'<?xml version="1.0" encoding="utf-8"?><COLLADA xmlns="{_SPACE}" '
    f'version="1.4.1"><asset><unit name="u" meter="{meter}"/></asset>'
    f"{libraries}<library_geometries>{geometries}</library_geometries>"
    f'<library_visual_scenes><visual_scene id="S">{nodes}</visual_scene>'
    "</library_visual_scenes><scene>"
    '<instance_visual_scene url="#S"/></scene></COLLADA>'
  )


def node(url: str, inside: str = "") -> str:
  """A node with transforms and a geometry."""
  return f'<node>{inside}<instance_geometry url="#{url}"/></node>'
