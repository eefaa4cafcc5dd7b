"""Where a session runs, read from the platform's settings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from nbplat.errors import SetupError, did_you_mean

__all__ = ["CLUSTER", "DEPLOY_MODE", "MASTER", "Master", "driver_place", "master_of"]

MASTER = "spark.master"
DEPLOY_MODE = "spark.submit.deployMode"
CLUSTER = "cluster"

_KINDS = (
    ("local-cluster[", "local-cluster"),
    ("local", "local"),
    ("spark://", "standalone"),
    ("k8s://", "k8s"),
    ("sc://", "connect"),
    ("livy+http://", "livy"),
    ("livy+https://", "livy"),
)
_FORMS = (
    "local[*], local-cluster[2,1,1024], spark://HOST:7077, yarn, k8s://https://HOST:6443, sc://HOST:15002, "
    "livy+https://HOST:8998"
)


@dataclass(frozen=True, slots=True)
class Master:
    """A place for sessions.

    Attributes:
        url: As Spark takes it; for ``livy`` the address of the server, ``https://host:8998``.
        kind: ``local``, ``local-cluster``, ``standalone``, ``yarn``, ``k8s``, ``connect`` or ``livy``.
        cluster: The driver runs on the cluster and dials back.
    """

    url: str
    kind: str
    cluster: bool

    @property
    def local(self) -> bool:
        """Executors run on this machine: ``local`` and ``local-cluster``."""
        return self.kind.startswith("local")


def master_of(url: str, deploy_mode: str = "client") -> Master:
    """Read a master.

    Args:
        url: As the setting has it.
        deploy_mode: ``client`` or ``cluster``.

    Raises:
        SetupError: ``session.master``: no such master; ``session.deploy_mode``: no such mode, or not there.
    """
    if deploy_mode not in ("client", CLUSTER):
        raise SetupError(
            "session.deploy_mode",
            f"there is no deploy mode {deploy_mode!r}",
            fix=did_you_mean(deploy_mode, ("client", CLUSTER)),
        )
    kind = "yarn" if url == "yarn" else next((kind for start, kind in _KINDS if url.startswith(start)), "")
    if not kind:
        raise SetupError(
            "session.master",
            f"sessions cannot run on {url!r}",
            fix=f"set session.master or spark.master to one of: {_FORMS}",
        )
    cluster = deploy_mode == CLUSTER
    if cluster and kind not in ("yarn", "k8s"):
        raise SetupError(
            "session.deploy_mode",
            f"drivers run on the cluster on YARN and Kubernetes only, and session.master is {url}",
            fix="set session.deploy_mode to client",
        )
    if kind == "k8s" and not cluster:
        raise SetupError(
            "session.deploy_mode",
            "executors in pods cannot reach a driver outside of their cluster",
            fix="set session.deploy_mode to cluster",
        )
    return Master(url.removeprefix("livy+") if kind == "livy" else url, kind, cluster)


def driver_place(conf: Mapping[str, str]) -> str:
    """Where the driver of a session with this conf runs: ``cluster``, ``livy``, or empty for this machine."""
    if conf.get(DEPLOY_MODE) == CLUSTER:
        return CLUSTER
    return "livy" if conf.get(MASTER, "").startswith(("http://", "https://")) else ""
