"""Port and token: chosen once per state folder, bound again at every restart."""

from __future__ import annotations

import contextlib
import errno
import random
import secrets
import socket
from typing import Any

from nbplat.config import Config
from nbplat.errors import SetupError
from nbplat.service.discovery import read_info

__all__ = ["bind", "check_exposure", "choose"]

# Below every system's range for outgoing connections, which would take a kept port now and then.
_PORTS = range(20_000, 32_000)
_TRIES = 50


def check_exposure(config: Config, *, loopback: bool) -> None:
    """Refuse a bind that others on the network could listen in on.

    Raises:
        SetupError: another address than loopback without TLS and without the explicit flag.
    """
    if loopback or config.service_allow_plain or (config.service_tls_cert and config.service_tls_key):
        return
    raise SetupError(
        "service.plain",
        f"{config.service_host} can be reached by others, and the token would travel in the clear",
        fix="set service.tls_cert and service.tls_key, or service.allow_plain = true behind a proxy that does TLS",
        where="service.host",
    )


def choose(config: Config) -> tuple[int, str]:
    """The port and the token of this state folder; port 0 means that none was chosen yet."""
    info = read_info(config) or {}
    token = info.get("token")
    return config.service_port or int(info.get("port", 0)), token or secrets.token_urlsafe(32)


def bind(config: Config, port: int) -> socket.socket:
    """A listening socket; port 0 takes a free one.

    Raises:
        SetupError: ``service.port_taken``, naming the process where the system tells; ``service.host``
            for an address that is not this machine's.
    """
    if port:
        return _listen(config, port)
    # Not a secret: any free port will do.
    for candidate in random.sample(_PORTS, _TRIES):
        with contextlib.suppress(SetupError):
            return _listen(config, candidate)
    return _listen(config, 0)


def _listen(config: Config, port: int) -> socket.socket:
    host = config.service_host.strip("[]")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # With its protocol by name: only then does asyncio send small answers at once (TCP_NODELAY). Else the body of each
    # one waits for the client's acknowledgement of the head, which comes 40 ms later on a connection that is kept.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        # Lets a restart bind while old connections linger; on Unix it does not let two listeners share a port.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(128)
    except OSError as exc:
        listener.close()
        if exc.errno == errno.EADDRINUSE:
            raise SetupError(
                "service.port_taken",
                f"port {port} of this state folder's service is taken{_by_whom(port)}",
                fix="end that process, or set service.port (NBPLAT_PORT) to a free port",
                where=f"{host}:{port}",
            ) from exc
        raise SetupError(
            "service.host",
            f"the service cannot bind {host}:{port}: {exc.strerror}",
            fix="set service.host (NBPLAT_HOST) to an address of this machine, e.g. 127.0.0.1",
        ) from exc
    return listener


def _by_whom(port: int) -> str:
    import psutil

    with contextlib.suppress(psutil.Error, OSError):
        for connection in psutil.net_connections("tcp"):
            if _is_listener(connection, port) and connection.pid:
                return f" by process {connection.pid} ({psutil.Process(connection.pid).name()})"
    return " by another process"


def _is_listener(connection: Any, port: int) -> bool:
    return bool(connection.status == "LISTEN" and connection.laddr and connection.laddr.port == port)
