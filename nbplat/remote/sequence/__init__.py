"""Kernels of user sequences: order, visibility, ranges, gathering. Arrow and numpy in, Arrow and numpy out."""
