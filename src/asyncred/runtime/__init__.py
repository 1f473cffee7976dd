"""One job, from its configuration to its result: on all ranks, for all images of a problem."""
