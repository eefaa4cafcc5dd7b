"""Shipping archives through fsspec: disks, memory, S3, HTTP, and what else fsspec has a file system for."""
