"""What is altered between its writing and its reading is never computed with."""

import shutil

import numpy as np
import pytest

import h5py

import asyncred
from asyncred.files.lock import Lock
from asyncred.files.problem.sources import sources_of
from asyncred.files.result import read_result
from asyncred.runtime.plan import sha256
from commands import simulate, stacked

TV = {"denoiser": "tv", "sigma": 5, "threads": 1}


@pytest.fixture(scope="module")
def stack(tmp_path_factory):
    path = tmp_path_factory.mktemp("stack") / "p.h5"
    return stacked(simulate("cs", path, "--size", "32", "--block", "16"))


def test_a_problem_that_is_replaced_while_a_stack_runs(stack, tmp_path):
    """Its rows would be of another file than the sum says."""
    path, output = tmp_path / "p.h5", tmp_path / "r.h5"
    path.write_bytes(stack.read_bytes())

    def replace(sample):
        other = tmp_path / "other.h5"
        other.write_bytes(path.read_bytes())
        with h5py.File(other, "r+") as file:
            file["measurements/y"][:] *= 2
        other.replace(path)

    with pytest.raises(asyncred.InputError, match=r"p.h5: was changed or replaced while"):
        asyncred.run(path, output, epochs=2, callback=replace, **TV)
    assert read_result(output).completed.tolist() == [True, False, False]
    assert sorted(one.name for one in tmp_path.iterdir()) == ["p.h5", "r.h5"]


def test_a_callback_is_no_signal(stack, tmp_path):
    result = asyncred.run(
        stack,
        tmp_path / "r.h5",
        images="0:1",
        epochs=9,
        report=1e-3,
        callback=lambda sample: True,
        **TV,
    )
    assert result.provenance["stopped"] == "callback" and not result.complete


ALTERATIONS = {
    "a pixel": lambda file: file["x"].__setitem__((3, 4), 0.7),
    "updates": lambda file: file["per_block"].__setitem__(0, 2**62),
    "fewer updates": lambda file: file["per_block"].__setitem__(0, 1),
    "delays": lambda file: file["delays"].__setitem__((0, 0), -5),
    "history": lambda file: file["history"].__setitem__((0, 2), 0.0),
    "seconds": lambda file: file.attrs.__setitem__("seconds", 1e9),
    "shape": lambda file: file.attrs.__delitem__("ranks"),
}


@pytest.mark.parametrize("what", ALTERATIONS)
def test_checkpoints(what, stack, tmp_path, kept):
    path, output = tmp_path / "c.h5", tmp_path / "r.h5"
    path.write_bytes(kept.read_bytes())
    with h5py.File(path, "r+") as file:
        ALTERATIONS[what](file)
    with pytest.raises(asyncred.InputError, match=r"c.h5: .*its contents are not those"):
        asyncred.run(stack, output, images="0:1", epochs=9, resume=path, **TV)
    assert not output.exists()


@pytest.fixture(scope="module")
def kept(stack, tmp_path_factory):
    folder = tmp_path_factory.mktemp("kept")
    asyncred.run(stack, folder / "r.h5", images="0:1", epochs=3, checkpoint=folder / "c.h5", **TV)
    return folder / "c.h5"


def test_a_checkpoint_at_its_end(stack, kept, tmp_path):
    """Gives its image again; with a smaller budget it is refused, and says what it has."""
    path = tmp_path / "c.h5"
    path.write_bytes(kept.read_bytes())
    found = asyncred.run(stack, tmp_path / "r.h5", images="0:1", epochs=3, resume=path, **TV)
    assert found.complete and found.column("updates")[-1] == 12
    assert np.isfinite(found.column("distance")[-1])
    with pytest.raises(asyncred.InputError, match="has 12 updates, 3 epochs, expected no more"):
        asyncred.run(stack, tmp_path / "s.h5", images="0:1", epochs=2, resume=path, **TV)


def test_factors_and_results(stack, tmp_path):
    factors, output = tmp_path / "f.h5", tmp_path / "r.h5"
    flags = {"images": "0:1", "epochs": 2, "factors": factors, "overwrite": True, **TV}
    asyncred.run(stack, output, **flags)
    with h5py.File(factors, "r+") as file:
        file["A/2"][5, 6] += 1
    with pytest.raises(asyncred.InputError, match=r"f.h5: the factors of block 2 are not those"):
        asyncred.run(stack, output, **flags)
    with h5py.File(output, "r+") as file:
        file["entry/data/data"][0, 5, 6] += 1
    with pytest.raises(ValueError, match=r"r.h5: .*image 0 is not the one that was written"):
        asyncred.read_result(output)
    with pytest.raises(asyncred.InputError, match="image 0 is not the one that was written"):
        asyncred.run(stack, tmp_path / "o.h5", start=str(output), images="0:1", epochs=1, **TV)


def test_sources_are_part_of_the_sum(stack, tmp_path):
    path, raw = tmp_path / "p.h5", tmp_path / "raw.h5"
    raw.write_bytes(stack.read_bytes())
    with h5py.File(path, "w") as file:
        for name in ("image", "operator", "measurements", "truth"):
            file[name] = h5py.ExternalLink("raw.h5", name)
    before = sha256([path, *sources_of(path, follow=False)])
    with h5py.File(raw, "r+") as file:
        file["truth"][0, 0] += 1
    assert sha256([path, *sources_of(path, follow=False)]) != before


def test_a_second_job_is_told(stack, tmp_path):
    output, kept = tmp_path / "r.h5", tmp_path / "c.h5"
    lock = Lock(kept)
    with pytest.raises(asyncred.InputError, match=r"c.h5: is in use by process"):
        asyncred.run(stack, output, images="0:1", epochs=1, checkpoint=kept, **TV)
    lock.release()
    asyncred.run(stack, output, images="0:1", epochs=1, checkpoint=kept, **TV)
    assert not [one for one in tmp_path.iterdir() if one.name.startswith(".")]


def test_a_result_that_cannot_be_written_is_kept(stack, tmp_path, capfd):
    """In the folder of the checkpoint; and checkpoints that cannot be written end no run."""
    for name in ("out", "kept"):
        (tmp_path / name).mkdir()
    output, kept = tmp_path / "out" / "r.h5", tmp_path / "kept" / "c.h5"

    def remove(sample):
        if output.parent.exists():
            shutil.rmtree(output.parent)

    flags = {"images": "0:1", "epochs": 20, "report": 1e-3, "checkpoint": kept, **TV}
    asyncred.run(stack, output, callback=remove, **flags)
    (found,) = (path for path in kept.parent.iterdir() if path.name.startswith("r.h5"))
    assert f"r.h5: image 0 is kept in {found}" in capfd.readouterr().err
    assert read_result(found).complete
    (tmp_path / "out").mkdir()
    kept.parent.rename(tmp_path / "gone")
    kept.parent.mkdir()

    def remove_other(sample):
        if kept.parent.exists():
            shutil.rmtree(kept.parent)

    found = asyncred.run(stack, output, callback=remove_other, checkpoint_every=1e-4, **flags)
    assert found.complete and "no checkpoint could be written" in capfd.readouterr().err
