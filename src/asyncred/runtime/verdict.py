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
}


def verdict_of(ending: Ending, last: Sample, tol: float) -> str:
    """In one word; ``last`` is the state at the end, ``tol`` the tolerance, 0 where there is none.

    A run that was told how many epochs to make has converged where it would have stopped by itself.
    """
    if ending.reason in (Reason.TOLERANCE, Reason.DIVERGED):
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
    return f"not converged: {why}; {found} (tolerance {tol or PROXIMAL_TOL:.0e}); {_advice(record)}"


def _advice(record: Record) -> str:
    if record.stopped == "signal":
        return "--start RESULT.h5 goes on from here"
    if math.isfinite(record.left) or len(record.history) < 2:
        return "more --epochs bring it nearer"
    return "its steps do not shrink: try --denoiser nonexpansive, or a larger --tau"


def _diverged(record: Record) -> str:
    best = record.best
    if best is None:
        kept = "the result is the start"
    else:
        epoch = best.updates / len(record.per_block)
        kept = f"the result is the best x seen, of epoch {epoch:.0f}"
        kept += f" (SNR {best.snr:.2f} dB)" if best.snr == best.snr else ""
    return (
        f"diverged: x moves ever farther from where it nearly stood; {kept}; try --denoiser "
        "nonexpansive, a larger --tau, or with --step a smaller step"
    )
