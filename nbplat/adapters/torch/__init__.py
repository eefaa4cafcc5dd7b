"""torch: arrays of a batch as tensors."""
