"""What a run says before and after, in words; rank 0 prints it."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Protocol

from asyncred.files.result import Record, Result
from asyncred.history import MUCH, Sample
from asyncred.metrics import snr
from asyncred.runtime.denoising import inexact
from asyncred.runtime.heading import noted, say_notes, say_start
from asyncred.runtime.job import Setup
from asyncred.runtime.progress import Progress, Quiet, progress
from asyncred.runtime.verdict import verdict_line

LONG = 2.0
"""Seconds of a loop whose shares of time mean something."""

Show = Callable[[Sample], None]
"""Told of every sample of the history, on rank 0 of the ranks that share an image."""


class Watch(Protocol):
    """Who is told how a run goes."""

    def begins(self, setup: Setup) -> None:
        """The input is fine."""
        ...

    def notes(self, setup: Setup, notes: Sequence[str]) -> None:
        """What the start of an image told."""
        ...

    def image(self, setup: Setup, row: int) -> AbstractContextManager[Show]:
        """The loop over one image."""
        ...

    def image_ends(self, setup: Setup, row: int, record: Record, put_down: Path | None) -> None:
        """What came of an image, and where it was put down if that was before its end."""
        ...

    def left_out(self, setup: Setup, row: int, reason: str) -> None:
        """An image has no measurements."""
        ...

    def wrote(self, setup: Setup, left_out: Sequence[int]) -> None:
        """The result is there, without the images that were left out."""
        ...

    def stopped(self) -> bool:
        """Whether the run is to stop."""
        ...


class Terminal:
    """Prints what happens: a live line on a terminal, plain lines in a log."""

    def begins(self, setup: Setup) -> None:
        """Rank 0 says what is about to be done."""
        if setup.team.everybody.rank == 0:
            say_start(setup)

    def notes(self, setup: Setup, notes: Sequence[str]) -> None:
        """Rank 0 of the image says them."""
        if setup.team.comm.rank == 0:
            say_notes(notes)

    @contextmanager
    def image(self, setup: Setup, row: int) -> Iterator[Show]:
        """Rank 0 of the job shows samples; other groups are quiet."""
        images = len(setup.images)
        display: Progress = Quiet()
        if setup.team.everybody.rank == 0:
            title = f"image {row + 1} of {images}  " if images > 1 else ""
            blocks, limit = len(setup.plan.problem.grid), setup.config.stopping.max_time
            display = progress(setup.plan.budget, blocks, limit, title)
        yield display.show
        display.close()

    def image_ends(self, setup: Setup, row: int, record: Record, put_down: Path | None) -> None:
        """Rank 0 of the image says what came of it."""
        if setup.team.comm.rank == 0:
            say_image(setup, row, record, put_down)

    def left_out(self, setup: Setup, row: int, reason: str) -> None:
        """Rank 0 of the image says why."""
        if setup.team.comm.rank == 0:
            title = f"image {setup.images[row]} ({row + 1} of {len(setup.images)})"
            print(f"!! {title} left out, not complete: {reason}", flush=True)

    def wrote(self, setup: Setup, left_out: Sequence[int]) -> None:
        """Rank 0 says where."""
        if setup.team.everybody.rank == 0:
            if left_out:
                numbers = ", ".join(map(str, left_out))
                print(f"!! {len(left_out)} of {len(setup.images)} images not complete: {numbers}")
            print(f"wrote {setup.config.files.output}", flush=True)

    def stopped(self) -> bool:
        """Never: signals do."""
        return False

    @staticmethod
    def says_last_words(error: Exception) -> None:
        """One line on standard error."""
        print(f"asyncred: {error}", file=sys.stderr, flush=True)


def say_image(setup: Setup, row: int, record: Record, put_down: Path | None) -> None:
    """What came of one of the images, and where it was put down if that was before its end."""
    images, last = setup.images, record.history[-1]
    title = f"image {images[row]} ({row + 1} of {len(images)}): " if len(images) > 1 else ""
    print(f"{title}{verdict_line(record, setup.plan.tol)}")
    print("\n".join(_figures(record, last, brief=len(images) > 1)))
    if record.relaxation < 1:
        print(_relaxed(record.relaxation))
    if record.against[0] == record.against[0]:
        print(_against(*record.against))
    if record.at_bounds > 0:
        print(_cramped(record.at_bounds))
    if put_down:
        print(f"wrote {put_down}: --resume goes on from it")
    sys.stdout.flush()


def _figures(record: Record, last: Sample, *, brief: bool) -> list[str]:
    """What the run took, and how good the image is."""
    rest = max(times.rest for times in record.times)
    epochs = last.updates / len(record.per_block)
    quality = f", SNR {last.snr:.2f} dB" if last.snr == last.snr else ""
    took = f"{last.updates} updates, {epochs:.1f} epochs, in {last.seconds:.1f} s"
    if brief:
        return [f"  {took}{quality}"]
    lines = [
        f"{took}: {last.updates / last.seconds:.1f} updates/s, mean delay {last.delay:.2f}, "
        f"{100 * rest:.1f} % of the time outside denoiser and data gradient",
        f"distance ||G||^2/||G0||^2 {last.distance:.2e}, step of the last epoch "
        f"{last.step:.1e}{_misfit(last.misfit)}{quality}",
    ]
    if rest > MUCH and last.seconds > LONG:
        lines.append(
            f"!! {100 * rest:.0f} % of the time is outside denoiser and data term: something takes "
            "the cores of the ranks; `asyncred doctor` looks for it"
        )
    return lines


def _misfit(found: float) -> str:
    return f", misfit ||A x - y||/||y|| {found:.2e}" if found == found else ""


def summary(result: Result) -> str:
    """A result file in a few lines."""
    what = result.provenance
    height, width = result.image.shape
    seconds, updates = result.column("seconds")[-1], int(result.column("updates")[-1])
    sigma = what["parameters"].get("sigma")
    level = f"sigma {sigma:g}/255, " if sigma else ""
    lines = [
        f"{result.path}: {height}x{width}, {_completeness(result)}, "
        f"{what.get('verdict') or 'no verdict'}, stopped by {what['stopped']}",
        f"from {what['input']}",
        f"{what['parameters']['method']} on {what['ranks']} ranks, denoiser {what['denoiser']} "
        f"({level}halo {what['halo']}{inexact(what)}), "
        f"tau {what['parameters']['tau']:g}",
        f"{updates} updates in {seconds:.1f} s ({updates / max(seconds, 1e-9):.1f}/s), per block "
        f"{result.per_block.min()} to {result.per_block.max()}, mean delay "
        f"{result.column('delay')[-1]:.2f}, rest {100 * result.timing[:, -1].max():.1f} %",
        f"distance {result.column('distance')[-1]:.2e}, step {result.column('step')[-1]:.1e}"
        f"{_misfit(result.column('misfit')[-1])}",
        *_particulars(result),
        *(noted(note) for note in what.get("notes", [])),
    ]
    if result.truth is not None:
        lines.append(
            f"SNR {snr(result.truth, result.start):.2f} dB before, "
            f"{snr(result.truth, result.image):.2f} dB after"
        )
    return "\n".join(lines)


def _particulars(result: Result) -> list[str]:
    """What the proximal update did besides, if anything."""
    relaxation, lines = result.provenance.get("relaxation", 1.0), []
    if relaxation < 1:
        lines.append(_relaxed(relaxation))
    level = result.provenance.get("reference_snr", math.nan)
    if level == level:
        lines.append(_against(level, result.provenance["reference_ssim"]))
    if result.provenance.get("at_bounds", 0) > 0:
        lines.append(_cramped(result.provenance["at_bounds"]))
    if result.drafts.any():
        name, most = result.provenance["parameters"]["draft"], result.drafts.max()
        lines.append(f"the first updates of a block, at most {most}, by {name}")
    return lines


def _against(level: float, similarity: float) -> str:
    return (
        f"SNR {level:.2f} dB, SSIM {similarity:.4f} to the reference image in the file, after the "
        "best factor"
    )


def _relaxed(relaxation: float) -> str:
    return f"note: the guard found steps too long: steps relaxed to {relaxation:g}"


def _cramped(at_bounds: float) -> str:
    return (
        f"!! {100 * at_bounds:.2g} % of the pixels lie on the bounds of x: --bounds LOW:HIGH sets "
        "others, --range LOW:HIGH the values of black and white that they are taken from"
    )


def _completeness(result: Result) -> str:
    T = len(result.completed)
    if T == 1:
        return "complete" if result.complete else "NOT COMPLETE"
    done = int(result.completed.sum())
    what = "complete" if result.complete else "NOT COMPLETE"
    return f"{done} of {T} images complete; row {result.index}: {what}"
