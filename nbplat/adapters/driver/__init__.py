"""Drivers on this machine: started detached, found again by process and socket, talked to over a Unix socket."""

from nbplat.adapters.driver.batches import LocalBatches
from nbplat.adapters.driver.processes import LocalDrivers
from nbplat.adapters.driver.warm import WarmPool

__all__ = ["LocalBatches", "LocalDrivers", "WarmPool"]
