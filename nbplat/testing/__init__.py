"""What users' tests may use: fakes that pass the contract suites of the real parts."""

from nbplat.testing.clock import FakeClock

__all__ = ["FakeClock"]
