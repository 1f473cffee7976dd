"""Tomography in fan beams with a known truth."""

from __future__ import annotations

import math

import numpy as np

from asyncred.commands.simulate.ct import counted, unfolded
from asyncred.commands.simulate.truth import Scene
from asyncred.files.problem import FanGeometry, write_fan_beam
from asyncred.grid import BlockGrid
from asyncred.operators import FanBeam

MAGNIFICATION = 1.5
"""Of the rotation axis on the detector."""


def simulate_fan(
    scene: Scene,
    *,
    views: int,
    short: bool,
    source: float,
    detector: str,
    photons: float,
    attenuation: float,
) -> str:
    """Write a tomography problem; what was written, in a line. Raises ValueError on bad arguments.

    ``views`` over 360 degrees, or where ``short`` over 180 and the fan angle; the source is
    ``source`` times the image's diagonal away from the rotation axis. Bins are as wide as a pixel,
    seen at the axis, and see the whole image. Photons and attenuation as in ``simulate_ct``.
    """
    truth = scene.truth()
    diagonal = math.hypot(truth.shape[0] + 2, truth.shape[1] + 2)
    distance = source * diagonal
    half = math.asin(1 / (2 * source))
    reach = distance * (half if detector == "curved" else math.tan(half))
    bins = 2 * math.ceil(reach) + 2
    # In pixels as yet.
    geometry = FanGeometry(
        source_axis=distance,
        axis_detector=(MAGNIFICATION - 1) * distance,
        spacing=MAGNIFICATION,
        detector=detector,
    )
    span = 180 + 2 * math.degrees(half) if short else 360 * (views - 1) / views
    angles = np.linspace(0, span, views)
    grid = BlockGrid(truth.shape, truth.shape)
    A = FanBeam(grid, np.radians(angles), bins, geometry.fan(bins), threads=1)
    y, pixel = counted(scene, unfolded(A, truth), photons=photons, attenuation=attenuation)
    write_fan_beam(
        scene.path,
        truth,
        y,
        block=scene.blocks,
        angles=angles,
        geometry=geometry.scaled(pixel),
    )
    return scene.written(
        truth.shape,
        f"{views} views of {bins} bins over {span:.0f} degrees, a fan of "
        f"{2 * math.degrees(half):.0f}, {photons:g} photons a bin",
    )
