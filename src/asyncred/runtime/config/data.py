"""Parameters of a run: its files, and what is taken of the problem."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from asyncred.runtime.config import checks
from asyncred.runtime.config.declare import parameter

STARTS = (
    "auto",
    "zero",
    "adjoint",
    "centered",
    "fbp",
    "zero-filled",
    "measured",
    "interpolated",
    "tv",
)
"""Or a file; which of them, the kind of problem says."""

LAYOUT = ("data", "angles", "image_key", "white", "dark")
"""Parameters that say where the parts of a scan are."""

PHASE = ("phase", "energy", "distance", "delta_beta", "pixel_size")
"""Parameters of phase retrieval."""


@dataclass(frozen=True)
class DataConfig:
    """The problem, and what is taken of it."""

    problem: Path = parameter(
        checks.path,
        "problem file, HDF5, or folder of TIFF files",
        section="basic",
        metavar="PROBLEM.h5",
    )
    images: tuple[int, int] | None = parameter(
        checks.images,
        "images of a stack to recover, counted from 0: one, or those from A to B, without B",
        section="data",
        metavar="K|A:B",
        default=None,
        shown="all",
    )
    range: tuple[float, float] | None = parameter(
        checks.value_range,
        "values of the image that the denoiser shall take for black and white",
        section="data",
        metavar="LOW:HIGH",
        default=None,
        shown="as the file says, or from the start",
    )
    bounds: str | tuple[float | None, float | None] = parameter(
        checks.bounds,
        "keep every value of the image between these two; either may be left out",
        section="data",
        metavar="auto|none|LOW:HIGH",
        default="auto",
        shown="auto: if the denoiser has a potential, the values of --range and of the start, and "
        "a quarter more, but for the attenuation of most raw scans nothing below 0; else none",
    )
    block: int | None = parameter(
        checks.integer("an integer >= 1", low=1),
        "side of the blocks in pixels, if the file does not say",
        section="data",
        metavar="PIXELS",
        default=None,
        shown="from the size of the image and the ranks",
    )
    size: int | None = parameter(
        checks.integer("an integer >= 1", low=1),
        "side of the image in pixels, in tomography, if the file does not say",
        section="data",
        metavar="PIXELS",
        default=None,
        shown="the number of bins; over a whole turn more, if the object needs it",
    )
    center: float | str | None = parameter(
        checks.center,
        "detector bin that sees the rotation axis, counted from 0; middle takes the middle one",
        section="data",
        metavar="BIN|middle",
        default=None,
        shown="as the file says, or found",
    )
    views: tuple[tuple[int, int], ...] | None = parameter(
        checks.views,
        "projections of a scan of counts to use, numbered from 0: those from A to B, without B; "
        "several parts may be given",
        section="data",
        metavar="A:B[,C:D...]",
        default=None,
        shown="all that hold a measurement",
    )
    zingers: str = parameter(
        checks.Choice("auto", "none"),
        "single counts far above their neighbours: auto replaces them by the median around them",
        section="data",
        default="auto",
    )
    rings: str = parameter(
        checks.Choice("none", "auto"),
        "rings: auto takes off what a column of the detector adds to all views of a slice",
        section="data",
        default="none",
    )
    air: str = parameter(
        checks.Choice("none", "auto"),
        "level of the beam: none takes it from the white field, auto in each view from the air "
        "beside the object",
        section="data",
        default="none",
    )
    phase: str = parameter(
        checks.Choice("none", "paganin"),
        "paganin: attenuation from intensities at one distance behind an object of one material, "
        "by Paganin's filter; needs --energy, --distance and --delta-beta",
        section="phase",
        default="none",
    )
    energy: float | None = parameter(
        checks.number("a number > 0, in keV", open_low=True),
        "energy of the photons",
        section="phase",
        metavar="KEV",
        default=None,
    )
    distance: float | None = parameter(
        checks.number("a number > 0, in metres", open_low=True),
        "from the object to the detector; in a beam that diverges R1 R2 / (R1 + R2), R1 from the "
        "source to the object, R2 from there to the detector",
        section="phase",
        metavar="METRES",
        default=None,
    )
    delta_beta: float | None = parameter(
        checks.number("a number > 0", open_low=True),
        "delta / beta of the material, refraction over absorption",
        section="phase",
        metavar="RATIO",
        default=None,
    )
    pixel_size: float | None = parameter(
        checks.number("a number > 0, in micrometres", open_low=True),
        "side of a pixel at the object",
        section="phase",
        metavar="MICROMETRES",
        default=None,
        shown="as the file says",
    )
    noise_scan: Path | None = parameter(
        checks.path,
        "file with the noise of the MRI coils, by which they are made equal: ISMRMRD, or an HDF5 "
        "file with /noise, complex [coils, samples]",
        section="data",
        metavar="FILE.h5",
        default=None,
        shown="as the file says, or from the outer k-space of raw data",
    )
    weights: str | None = parameter(
        checks.Choice("counts", "file", "none"),
        "how much each measurement counts: by the counts of tomography, by the weights in the "
        "file, or all alike",
        section="data",
        default=None,
        shown="as the file says, if it does",
    )
    data: str | None = parameter(
        checks.text,
        "dataset with the counts [frames, rows, columns]",
        section="layout",
        metavar="/PATH",
        default=None,
    )
    angles: str | None = parameter(
        checks.text,
        "angles: a dataset with that of each frame, a text or .npy file of degrees, or degrees "
        "from START to STOP, both included",
        section="layout",
        metavar="/PATH|FILE|START:STOP",
        default=None,
    )
    image_key: str | None = parameter(
        checks.text,
        "dataset that says what each frame is: 0 projection, 1 white field, 2 dark field",
        section="layout",
        metavar="/PATH",
        default=None,
        shown="all are projections",
    )
    white: str | None = parameter(
        checks.text,
        "white fields, the beam without the object: a dataset, or for TIFF a folder or file",
        section="layout",
        metavar="/PATH|FILES",
        default=None,
        shown="the frames of key 1; without any, data are transmissions",
    )
    dark: str | None = parameter(
        checks.text,
        "dark fields, the detector without the beam, likewise",
        section="layout",
        metavar="/PATH|FILES",
        default=None,
        shown="the frames of key 2, or 0",
    )
    strict: bool = parameter(
        checks.flag,
        "refuse a problem that looks wrong, with a line that begins with !!",
        section="data",
        default=False,
    )
    follow_links: bool = parameter(
        checks.flag,
        "read files outside the folder of the problem too, where links, virtual datasets or raw "
        "data in it refer to such",
        section="data",
        default=False,
    )
    start: str = parameter(
        checks.text,
        "image to start from: zero, adjoint (A^T y), centered (A^T y about a constant), fbp "
        "(filtered backprojection), zero-filled, measured, interpolated, tv (total variation in "
        "each block), or a result or other HDF5 file",
        section="data",
        metavar="NAME|FILE",
        default="auto",
        shown="what suits the kind of problem",
    )


@dataclass(frozen=True)
class FilesConfig:
    """What is written, and what is gone on with."""

    output: Path = parameter(checks.path, "result file, HDF5", section="basic", metavar="RESULT.h5")
    overwrite: bool = parameter(
        checks.flag, "replace an earlier result", section="basic", default=False
    )
    checkpoint: Path | None = parameter(
        checks.path,
        "file to keep the state of the run in, to go on from after a time limit or a crash",
        section="checkpoint",
        metavar="FILE.h5",
        default=None,
    )
    checkpoint_every: float = parameter(
        checks.number("minutes > 0", open_low=True),
        "minutes between two checkpoints",
        section="checkpoint",
        metavar="MINUTES",
        default=10.0,
        shown="10",
    )
    resume: Path | None = parameter(
        checks.path,
        "checkpoint to go on from, on any number of ranks; its parameters hold unless given again",
        section="checkpoint",
        metavar="FILE.h5",
        default=None,
    )

    @property
    def kept(self) -> Path | None:
        """Where to put the run down: where it is resumed from, if nothing else is said."""
        return self.checkpoint or self.resume
