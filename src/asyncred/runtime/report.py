"""What a run says before and after, in words; rank 0 prints it."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path

from asyncred.denoisers.provider import Provider
from asyncred.files.problem.plausible import marked
from asyncred.files.result import Record, Result
from asyncred.metrics import snr
from asyncred.runtime.config import RunConfig
from asyncred.runtime.placement import Placement
from asyncred.runtime.plan import Plan


def say_start(
    plan: Plan,
    placement: Placement,
    providers: Sequence[Provider],
    config: RunConfig,
    all_hosts: Sequence[str],
) -> None:
    """What is about to be done."""
    grid, model = plan.problem.grid, plan.model
    ranks, hosts = len(all_hosts), len(set(all_hosts))
    groups = -(-ranks // plan.ranks_per_image)
    shared = f", {_count(plan.ranks_per_image, 'rank')} an image" if groups > 1 else ""
    (height, width), (bh, bw) = grid.shape, grid.block_shape
    tiles = "tiles may differ from the whole (INEXACT)"
    if plan.halo_exact:
        tiles = f"tiles equal the whole to {plan.tiling_error:.0e}"
    level = f"sigma {model.level:g}/255, " if model.level else ""
    method = f"{config.method} on {_count(ranks, 'rank')}, {_count(hosts, 'host')}{shared}"
    print(
        f"{plan.problem.path}: {height}x{width} image, {len(grid)} blocks of {bh}x{bw}, "
        f"{plan.problem.data.words}{_stack(len(plan.problem.images))}\n"
        f"denoiser {model.path.stem}: returns the {model.output}, {level}"
        f"halo {model.field.halo}, {tiles}, on {_places(providers)}\n"
        f"{method}, {_count(placement.threads, 'thread')} a rank; "
        f"tau {plan.tau:g}, {_update(plan, config)}, {plan.budget} updates",
        flush=True,
    )
    say_notes((*plan.problem.data.notes, *marked(plan.doubts)))
    if ranks > (os.cpu_count() or 1) * hosts:
        print(f"warning: {ranks} ranks on {os.cpu_count()} cores: they take turns", flush=True)


def say_notes(notes: Sequence[str]) -> None:
    """A line each; doubts are marked as such already."""
    for note in notes:
        print(_noted(note), flush=True)


def _noted(note: str) -> str:
    return note if note.startswith("!!") else f"note: {note}"


def _update(plan: Plan, config: RunConfig) -> str:
    """The kind of update, and what is particular about it."""
    proximal = plan.proximal
    if proximal is None:
        return f"gradient, step {config.step}"
    inner, factors = f"{config.inner} inner steps", f"by factors in {proximal.factors}"
    how = factors if proximal.factors else inner
    words = [f"proximal, mu {proximal.mu:g}, {how}", f"start {plan.start}"]
    words += [f"momentum {proximal.momentum:g}"] if proximal.momentum else []
    words += [f"drafts by {plan.draft.path.stem}"] if plan.draft else []
    return ", ".join(words)


def _places(providers: Sequence[Provider]) -> str:
    return ", ".join(sorted({provider.words for provider in providers}))


def _count(n: int, noun: str) -> str:
    return f"{n} {noun}{'s' * (n != 1)}"


def _stack(images: int) -> str:
    return f", {images} images" if images > 1 else ""


def say_image(images: Sequence[int], row: int, record: Record, put_down: Path | None) -> None:
    """What came of one of the images, and where it was put down if that was before its end."""
    last, rest = record.history[-1], max(times.rest for times in record.times)
    ending = f"stopped by {record.stopped} after {last.updates} updates in {last.seconds:.1f} s"
    quality = f", SNR {last.snr:.2f} dB" if last.snr == last.snr else ""
    step = f"step of the last epoch {last.step:.1e}"
    if len(images) > 1:
        print(f"image {images[row]} ({row + 1} of {len(images)}): {ending}, {step}{quality}")
    else:
        print(
            f"{ending}: {last.updates / last.seconds:.1f} updates/s, mean delay {last.delay:.2f}, "
            f"{100 * rest:.1f} % of the time outside denoiser and data gradient\n"
            f"distance ||G||^2/||G0||^2 {last.distance:.2e}, {step}{quality}"
        )
    if record.relaxation < 1:
        print(_relaxed(record.relaxation))
    if record.stopped == "diverged":
        print("diverged: x is not finite, or further off at every update")
        print("a smaller --step or --tau may help")
    if put_down:
        print(f"wrote {put_down}: --resume goes on from it")
    sys.stdout.flush()


def summary(result: Result) -> str:
    """A result file in a few lines."""
    what = result.provenance
    height, width = result.image.shape
    seconds, updates = result.column("seconds")[-1], int(result.column("updates")[-1])
    sigma = what["parameters"].get("sigma")
    level = f"sigma {sigma:g}/255, " if sigma else ""
    lines = [
        f"{result.path}: {height}x{width}, {_completeness(result)}, stopped by {what['stopped']}",
        f"from {what['input']}",
        f"{what['parameters']['method']} on {what['ranks']} ranks, denoiser {what['denoiser']} "
        f"({level}halo {what['halo']}{'' if what['halo_exact'] else ', INEXACT'}), "
        f"tau {what['parameters']['tau']:g}",
        f"{updates} updates in {seconds:.1f} s ({updates / max(seconds, 1e-9):.1f}/s), per block "
        f"{result.per_block.min()} to {result.per_block.max()}, mean delay "
        f"{result.column('delay')[-1]:.2f}, rest {100 * result.timing[:, -1].max():.1f} %",
        f"distance {result.column('distance')[-1]:.2e}, step {result.column('step')[-1]:.1e}",
        *_particulars(result),
        *(_noted(note) for note in what.get("notes", [])),
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
    if result.drafts.any():
        name, most = result.provenance["parameters"]["draft"], result.drafts.max()
        lines.append(f"the first updates of a block, at most {most}, by {name}")
    return lines


def _relaxed(relaxation: float) -> str:
    return f"note: the guard found the iteration expansive: steps relaxed to {relaxation:g}"


def _completeness(result: Result) -> str:
    T = len(result.completed)
    if T == 1:
        return "complete" if result.complete else "NOT COMPLETE"
    done = int(result.completed.sum())
    what = "complete" if result.complete else "NOT COMPLETE"
    return f"{done} of {T} images complete; row {result.index}: {what}"
