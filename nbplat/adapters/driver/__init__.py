"""Places for drivers: processes of this machine, a cluster whose drivers call back over TLS, another Livy server."""

from nbplat.adapters.driver.batches import LocalBatches
from nbplat.adapters.driver.cluster import CLUSTER_PLACE, ClusterDrivers
from nbplat.adapters.driver.hub import Hub
from nbplat.adapters.driver.placed import PlacedDrivers
from nbplat.adapters.driver.processes import LocalDrivers
from nbplat.adapters.driver.upstream import UPSTREAM_PLACE, UpstreamDrivers
from nbplat.adapters.driver.upstream_http import LivyHttp
from nbplat.adapters.driver.warm import WarmPool

__all__ = [
    "CLUSTER_PLACE",
    "UPSTREAM_PLACE",
    "ClusterDrivers",
    "Hub",
    "LivyHttp",
    "LocalBatches",
    "LocalDrivers",
    "PlacedDrivers",
    "UpstreamDrivers",
    "WarmPool",
]
