"""Drivers: processes of this machine, found again by pid and socket, or a cluster's, which call back over TLS."""

from nbplat.adapters.driver.batches import LocalBatches
from nbplat.adapters.driver.cluster import CLUSTER_PLACE, ClusterDrivers
from nbplat.adapters.driver.hub import Hub
from nbplat.adapters.driver.placed import PlacedDrivers
from nbplat.adapters.driver.processes import LocalDrivers
from nbplat.adapters.driver.warm import WarmPool

__all__ = ["CLUSTER_PLACE", "ClusterDrivers", "Hub", "LocalBatches", "LocalDrivers", "PlacedDrivers", "WarmPool"]
