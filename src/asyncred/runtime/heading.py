"""What a run says before it begins: problem, denoiser, ranks, update and budget."""

from __future__ import annotations

import os
from collections.abc import Sequence

from asyncred.denoisers.provider import Provider
from asyncred.files.problem.plausible import marked
from asyncred.runtime.config import UpdateConfig
from asyncred.runtime.denoising import tiles_said
from asyncred.runtime.job import Setup
from asyncred.runtime.plan import Plan


def say_start(setup: Setup) -> None:
    """What is about to be done."""
    plan, config, team = setup.plan, setup.config, setup.team
    grid, model = plan.problem.grid, plan.model
    ranks, hosts = len(team.hosts), len(set(team.hosts))
    groups = -(-ranks // plan.ranks_per_image)
    shared = f", {_count(plan.ranks_per_image, 'rank')} an image" if groups > 1 else ""
    (height, width), (bh, bw) = grid.shape, grid.block_shape
    tiles = tiles_said(model, plan.tiling_error)
    level = f"sigma {model.level:g}/255, " if model.level else ""
    method = f"{config.update.method} on {_count(ranks, 'rank')}, {_count(hosts, 'host')}{shared}"
    print(
        f"{plan.problem.path}: {height}x{width} image, {len(grid)} blocks of {bh}x{bw}, "
        f"{plan.problem.data.described}{_stack(len(plan.problem.images))}\n"
        f"denoiser {model.path.stem}: returns the {model.output}, {level}"
        f"halo {model.field.halo}, {tiles}, on {_places(setup.denoisers.providers)}\n"
        f"{method}, {_count(team.placement.threads, 'thread')} a rank\n"
        f"tau {plan.tau:g}{by_noise(plan.noise)}; {_update(plan, config.update)}\n"
        f"start {plan.start}; at most {plan.budget / len(grid):g} epochs, {plan.budget} updates",
        flush=True,
    )
    say_notes((*plan.problem.data.notes, *model.notes, *marked(plan.doubts)))
    if ranks > (os.cpu_count() or 1) * hosts:
        print(f"warning: {ranks} ranks on {os.cpu_count()} cores: they take turns", flush=True)


def by_noise(noise: float | None) -> str:
    """Why tau is what it is, where it follows the noise of y."""
    return "" if noise is None else f" (noise {100 * noise:.2g} %)"


def say_notes(notes: Sequence[str]) -> None:
    """A line each; doubts are marked as such already."""
    for note in notes:
        print(noted(note), flush=True)


def noted(note: str) -> str:
    return note if note.startswith("!!") else f"note: {note}"


def _update(plan: Plan, asked: UpdateConfig) -> str:
    """The kind of update, and what is particular about it."""
    proximal = plan.proximal
    if proximal is None:
        return f"gradient update, step {asked.step}"
    words = [f"{proximal.words} update, mu {proximal.mu:.3g}"]
    words += [f"momentum {proximal.momentum:g}"] if proximal.momentum else []
    words += [f"drafts by {plan.draft.path.stem}"] if plan.draft else []
    if proximal.factors:
        words += [f"solved by the factors in {proximal.factors}"]
    else:
        words += [f"solved by {_count(proximal.steps, 'step')} of conjugate gradients"]
    if proximal.rounds:
        blocks = _count(proximal.rounds, "block")
        words += [f"{blocks} more by the data term after each call of the denoiser"]
    return ", ".join(words)


def _places(providers: Sequence[Provider]) -> str:
    return ", ".join(sorted({provider.words for provider in providers}))


def _count(n: int, noun: str) -> str:
    return f"{n} {noun}{'s' * (n != 1)}"


def _stack(images: int) -> str:
    return f", {images} images" if images > 1 else ""
