"""System D: shapes as codes; voxels, auto-encoder, pictures, generation.

    voxel        mesh → solid voxels, coarser voxels
    sample       voxels → points with values, most of them near the surface
    isosurface   values of a function → mesh, refined near the surface
    config       all settings; the published ones are a row of them
    dataset      meshes → a file of voxels and surface points
    autoencoder  training of encoder and decoder
    picture      training of the picture encoder
    dream        pictures that a number of the code responds to
    generator    training of the generator of codes
    refine       codes that draw a known shape better
    model        ShapeModel: all networks together, saved and loaded
    lift         a picture to a mesh with its confidence; codes as a `Renderer`
    query        a code, drawn through the `Renderer` protocol, asks a database
    key          codes as a second key of a database's models
    code_file    codes to disk and back
    output       meshes and contact sheets that the commands write

Conventions. The grid of R³ voxels fills the cube [-1, 1]³; voxel i along an
axis has its centre at `(i + ½) / R · 2 - 1`, and arrays are indexed
`[x, y, z]`. The mesh's unit sphere is drawn at `SCALE` inside of the cube, so
that two voxels of 64 at each side stay empty. In the principal pose, the
default, x is the longest and z the shortest principal axis of the model; in the
pose of a file, the axes are the file's. An upright model of the data sets that
the method was published on has y up and its front along -z.

`B` models, `P` points, `R` voxels along an axis, `Z` size of a code.

References:
  Z. Chen and H. Zhang, Learning implicit fields for generative shape modeling
  (CVPR 2019), "IM-NET" below.
"""
