"""Whether this machine can run a job, and how fast: a line a finding, never a hang.

Each part is done by every rank within a time limit and told by rank 0.
"""

from asyncred.commands.doctor.examine import doctor

__all__ = ["doctor"]
