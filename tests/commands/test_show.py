"""The picture of a result."""

from dataclasses import replace

import matplotlib.image
import numpy as np
import pytest

from asyncred.commands.show import draw
from asyncred.files.result import read_result
from results import PROVENANCE, example, record


def picture(path, **options):
    draw(read_result(example(path.with_suffix(".h5"), **options)), path)
    assert sorted(p.name for p in path.parent.iterdir()) == ["result.h5", "result.png"]
    return matplotlib.image.imread(path)


def panels(image):
    """Runs of columns with ink in them, in the upper part of the picture, under the titles."""
    middle = image[image.shape[0] // 4, :, :3]
    ink = (middle < 0.95).any(axis=1)
    starts = np.flatnonzero(np.diff(ink.astype(int)) == 1)
    stops = np.flatnonzero(np.diff(ink.astype(int)) == -1)
    return [stop - start for start, stop in zip(starts, stops, strict=True) if stop - start > 200]


@pytest.mark.parametrize(("truth", "count"), [(True, 4), (False, 3)])
def test_panels(truth, count, tmp_path):
    image = picture(tmp_path / "result.png", truth=truth)
    assert image.shape[:2] == (684, 360 * count)
    assert len(panels(image)) == count
    lower = image[500:, :, :3]
    for colour in ((0.12, 0.47, 0.71), (1.0, 0.5, 0.05)):  # the curves of distance and step
        assert (np.abs(lower - colour).max(axis=2) < 0.05).sum() > 50
    assert len(np.unique(image[:400].reshape(-1, image.shape[2]), axis=0)) > 100


@pytest.mark.parametrize(
    "change",
    [
        {"history": record().history[:1]},
        {"history": [replace(sample, snr=float("nan")) for sample in record().history]},
        {"history": [*record().history, replace(record().history[0], distance=0.0, step=0.0)]},
        {"history": [replace(record().history[0], step=float("inf"), snr=float("inf"))]},
        {"provenance": {**PROVENANCE, "parameters": {**PROVENANCE["parameters"], "start": "a.h5"}}},
    ],
    ids=["one sample", "no snr", "exact", "infinite", "start from a file"],
)
def test_unusual_histories(change, tmp_path):
    assert picture(tmp_path / "result.png", **change).std() > 0.05
