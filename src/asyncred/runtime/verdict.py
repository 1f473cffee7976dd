"""What became of a run of an image, in one word and in one line.

``converged``: the step of an epoch met the tolerance and, by the rate at which steps shrink, x is
near its limit; ``diverged``; ``not converged``: all else, with what was reached and what to do.
"""

from __future__ import annotations

import math

from asyncred.files.result import Record
from asyncred.history import Ending, Reason, Sample
from asyncred.runtime.config.stopping import PROXIMAL_TOL
from asyncred.runtime.judge import is_near

REASONS = {
    "budget": "all updates asked for are made",
    "time": "the time limit is reached",
    "signal": "it was asked to stop",
    "callback": "the callback asked it to stop",
    "tolerance": "steps are small",
}


CRAMPED = 0.01
"""Share of the pixels on bounds that nobody asked for, above which x is no solution."""


def verdict_of(ending: Ending, last: Sample, tol: float, at_bounds: float = 0.0) -> str:
    """In one word; ``last`` is the state at the end, ``tol`` the tolerance, 0 where there is none.

    A run that was told how many epochs to make has converged where it would have stopped by itself.
    None has that ends with the objective up, or with more than a few pixels ``at_bounds``.
    """
    if ending.reason is Reason.DIVERGED:
        return ending.reason.verdict
    if ending.back or at_bounds > CRAMPED:
        return "not converged"
    if ending.reason is Reason.TOLERANCE:
        return ending.reason.verdict
    tol = tol or PROXIMAL_TOL
    done = last.step < tol and is_near(last.step, ending.left, tol)
    return "converged" if done and ending.reason is Reason.BUDGET else "not converged"


def verdict_line(record: Record, tol: float) -> str:
    """In one line."""
    last = record.history[-1]
    if record.verdict == "diverged":
        return _diverged(record)
    found = f"the last epoch changed x by {last.step:.1e}"
    if math.isfinite(record.left):
        found += f", which is then about {record.left:.0e} from its limit"
    if record.verdict == "converged":
        return f"converged: {found}"
    why = REASONS.get(record.stopped, record.stopped)
    if record.back:
        why += "; " + _kept(record)
    return f"not converged: {why}; {found} (tolerance {tol or PROXIMAL_TOL:.0e}); {_advice(record)}"


def _advice(record: Record) -> str:
    if record.at_bounds > CRAMPED:
        return "x lies on its bounds: set --range or --bounds"
    if record.stopped in ("signal", "callback"):
        return "--start RESULT.h5 goes on from here"
    if math.isfinite(record.left) or len(record.history) < 2:
        return "more --epochs bring it nearer, or a larger --tau"
    return "its steps do not shrink: try --denoiser nonexpansive, or a larger --tau"


def _diverged(record: Record) -> str:
    return (
        f"diverged: x moves ever farther from where it nearly stood; {_kept(record)}; try "
        "--denoiser nonexpansive, a larger --tau, or with --step a smaller step"
    )


def _kept(record: Record) -> str:
    """Which x the result is."""
    best = record.best
    if best is None:
        return "the result is the start"
    epoch = best.updates / len(record.per_block)
    kept = f"the result is the best x seen, of epoch {epoch:.0f}"
    return kept + (f" (SNR {best.snr:.2f} dB)" if best.snr == best.snr else "")
