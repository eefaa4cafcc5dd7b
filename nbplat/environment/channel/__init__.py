"""Make a conda channel from a running interpreter, installed distributions and wheels; no public channel is asked."""
