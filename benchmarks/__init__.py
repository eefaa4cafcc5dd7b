"""The promises as figures. Run ``python -m benchmarks [area …]``; benchmarks/README.md tells how to read them."""
