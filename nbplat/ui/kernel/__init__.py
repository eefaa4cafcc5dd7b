"""Cells that run in a session without saying so: the `nbplat-spark` kernel, and `%nbplat target` in any other."""
