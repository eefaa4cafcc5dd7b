"""The ``pip:`` part and local packages by uv: resolve with hashes, build wheels, install exactly what is locked."""
