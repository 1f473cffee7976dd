"""The training loop. It can be stopped at any moment and goes on from its last state, bit for bit.

    x        clean crops; y = x + sigma e, e white Gaussian        [n, 1, side, side]
    D, J_D   the denoiser and its Jacobian: networks.py, potential.py

    minimise  mean |D(y) - x|^2 / (sigma^2 + FLOOR)  +  weight of the penalty x penalty (penalty.py)

Muon (Jordan et al. 2024: each step orthogonalized) for the hidden layers, Adam for the others, with
a cosine decay. What is kept is the running mean of the weights, at its best on photographs that are
held out.
"""

import copy
import math
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from penalty import HardPoints, penalty, points
from photographs import Crops, HeldOut
from recipes import Network, Recipe

EMA = 0.999
"""Decay of the running mean of the weights."""
FLOOR = (5 / 255) ** 2
"""Keeps images with next to no noise from having all the weight."""
SAVE, WATCH = 100, 500
"""Steps between states, and between looks at the held-out photographs; both divide evenly."""


class Optimizer:
    """Muon for the weights between hidden layers, as matrices [out, in * 9], and Adam for others.

    The weights are in channels-last order, so that the matrices are views of them.
    """

    def __init__(self, denoiser: Network) -> None:
        self._hidden = [p for p in denoiser.parameters() if p.ndim == 4 and min(p.shape[:2]) >= 8]
        self._matrices = [
            torch.nn.Parameter(p.detach().permute(0, 2, 3, 1).flatten(1)) for p in self._hidden
        ]
        for p, matrix in zip(self._hidden, self._matrices, strict=True):
            assert matrix.data_ptr() == p.data_ptr()
        hidden = {id(p) for p in self._hidden}
        others = [p for p in denoiser.parameters() if id(p) not in hidden]
        self._optimizers = [(0.1, torch.optim.Adam(others))]
        if self._matrices:
            self._optimizers.append((1.0, torch.optim.Muon(self._matrices, weight_decay=0)))

    def step(self, rate: float) -> None:
        """One step at a learning rate of ``rate`` for Muon and a tenth of it for Adam."""
        for p, matrix in zip(self._hidden, self._matrices, strict=True):
            matrix.grad = p.grad.permute(0, 2, 3, 1).flatten(1)
        for share, optimizer in self._optimizers:
            optimizer.param_groups[0]["lr"] = share * rate
            optimizer.step()

    def state(self) -> list[dict[str, Any]]:
        """What `restore` takes."""
        return [optimizer.state_dict() for _, optimizer in self._optimizers]

    def restore(self, state: list[dict[str, Any]]) -> None:
        for (_, optimizer), one in zip(self._optimizers, state, strict=True):
            optimizer.load_state_dict(one)


class Training:
    """A recipe on its way: ``denoiser`` is trained, ``best`` has the weights that are kept."""

    def __init__(self, denoiser: Network, crops: Crops, recipe: Recipe, held_out: HeldOut) -> None:
        denoiser.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.denoiser = denoiser.requires_grad_(True)
        self.mean = copy.deepcopy(denoiser).requires_grad_(False)
        self.step, self.seconds = 0, 0.0
        self.best, self.best_psnr = self.mean.state_dict(), -math.inf
        self._crops, self._recipe, self._held_out = crops, recipe, held_out
        self._optimizer = Optimizer(denoiser)
        self._hard = HardPoints(256, recipe.side // 2)
        self._running = np.ones(2)

    def run(self, *, minutes: float = math.inf, state: Path | None = None) -> Network:
        """Go on to the end of the recipe, saving to the file ``state``; the denoiser to keep.

        ``minutes`` shortens the schedule to that time: the result then depends on the machine's
        speed.
        """
        progress = self._progress(minutes)
        while progress < 1:
            start = time.monotonic()
            self._take_step(progress)
            self.seconds += time.monotonic() - start
            progress = self._progress(minutes)
            if self.step % SAVE == 0 or progress >= 1:
                self._report(watch=self.step % WATCH == 0 or progress >= 1)
                if state:
                    self.save(state)
        self.mean.load_state_dict(self.best)
        self.mean.dtype = torch.float32
        return self.mean

    def _progress(self, minutes: float) -> float:
        return max(self.step / self._recipe.steps, self.seconds / 60 / minutes)

    def _take_step(self, progress: float) -> None:
        recipe, denoiser = self._recipe, self.denoiser
        x, sigma = self._crops.batch(recipe.batch), noise_levels(recipe, recipe.batch)
        y = x + sigma * torch.randn_like(x)
        clean = denoiser(y, sigma)
        error = ((clean - x).square() / (sigma.square() + FLOOR)).mean()
        excess = torch.zeros(())
        if recipe.penalty > 0:
            z, images = points(x, y, clean.detach(), recipe.side // 2, recipe.batch // 2)
            excess = penalty(denoiser, self._hard, z, sigma[images], recipe.margin)
        denoiser.zero_grad()
        (error + recipe.penalty * excess).backward()
        torch.nn.utils.clip_grad_norm_(denoiser.parameters(), 1.0)
        self._optimizer.step(self._rate(progress))
        if self.step % 200 == 0 and progress < 0.7:
            denoiser.revive(self.mean, y, sigma)
        self._average()
        self.step += 1
        now = np.array([error.item(), excess.item()])
        self._running += (now - self._running) / min(self.step, 300)

    def _rate(self, progress: float) -> float:
        warmup = min(300, self._recipe.steps // 10 + 1)
        cosine = 0.5 * (1 + math.cos(math.pi * progress))
        return self._recipe.rate * min(1.0, (self.step + 1) / warmup) * cosine

    def _average(self) -> None:
        decay = min(EMA, (self.step + 1) / (self.step + 10))
        for average, weight in zip(self.mean.parameters(), self.denoiser.parameters(), strict=True):
            average.lerp_(weight.detach(), 1 - decay)

    def _report(self, *, watch: bool) -> None:
        """Print a line; with ``watch``, see whether the mean is the best so far.

        With a penalty the last is the best: what it costs in PSNR is wanted.
        """
        words = [f"step {self.step}/{self._recipe.steps} {self.seconds / 60:.1f} min,"]
        words.append(f"noise left {self._running[0]:.4f}")
        if self._recipe.penalty:
            words.append(f"penalty {self._running[1]:.2e}")
        if watch:
            found = self._held_out.psnr(self.mean)
            words.append(", ".join(f"{psnr:.3f} dB at {s:g}" for s, psnr in found.items()))
            mean = sum(found.values()) / len(found)
            if mean > self.best_psnr or self._recipe.penalty:
                self.best, self.best_psnr = copy.deepcopy(self.mean.state_dict()), mean
        print(" ".join(words), flush=True)

    def save(self, path: Path) -> None:
        """Write all that the next step depends on; a file that is there stays whole until then."""
        state = {
            **{name: getattr(self, name) for name in ("step", "seconds", "best", "best_psnr")},
            "denoiser": self.denoiser.state_dict(),
            "mean": self.mean.state_dict(),
            "optimizer": self._optimizer.state(),
            "hard": vars(self._hard),
            "running": self._running.tolist(),
            "crops": self._crops.state(),
            "random": torch.get_rng_state(),
            "random_gpu": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
        }
        part = path.with_suffix(".part")
        torch.save(state, part)
        part.replace(path)

    def restore(self, path: Path) -> None:
        """Go back to a state that `save` wrote, of the same recipe; its steps may be others."""
        state = torch.load(path, weights_only=True)
        for name in ("step", "seconds", "best", "best_psnr"):
            setattr(self, name, state[name])
        self.denoiser.load_state_dict(state["denoiser"])
        self.mean.load_state_dict(state["mean"])
        self._optimizer.restore(state["optimizer"])
        vars(self._hard).update(state["hard"])
        self._running = np.array(state["running"])
        self._crops.restore(state["crops"])
        torch.set_rng_state(state["random"].cpu())
        if state["random_gpu"]:
            torch.cuda.set_rng_state_all([one.cpu() for one in state["random_gpu"]])


def noise_levels(recipe: Recipe, n: int) -> Tensor:
    """Between the recipe's bounds, in the unit of x; [n, 1, 1, 1]."""
    low, high = (sigma / 255 for sigma in recipe.sigma)
    return low + (high - low) * torch.rand(n, 1, 1, 1) ** recipe.skew
