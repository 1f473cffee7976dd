"""What a run ends with, for those who start it: 0 and 2 (wrong input) beside these.

All ranks of a run end with the same: of different codes MPICH's mpirun makes their bitwise or.
"""

FAULT = 1
"""Something of ours, or of the machine."""

DIVERGED = 4
"""x moves ever farther from where it nearly stood: started again it would do the same."""

NOT_WRITTEN = 74
"""The result could not be written where it was asked to be."""

PUT_DOWN = 75
"""Stopped before its end; it can be gone on with."""

INTERRUPTED = 130
"""Ended at once by Ctrl-C."""
