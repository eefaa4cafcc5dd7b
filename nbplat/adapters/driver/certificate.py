"""The service's own certificate for drivers that call it: made once, known to them by its fingerprint."""

from __future__ import annotations

import os
import shutil
import ssl
import subprocess
from pathlib import Path

from nbplat.errors import SetupError
from nbplat.remote.driver.tls_pipe import fingerprint_of

__all__ = ["dial_certificate"]

_LIMIT_S = 30


def dial_certificate(file: Path) -> tuple[ssl.SSLContext, str]:
    """A server's TLS context and the certificate's fingerprint.

    Args:
        file: Holds key and certificate (PEM, 0600); made when missing.

    Raises:
        SetupError: ``session.certificate``: openssl is missing or fails.
    """
    if not file.exists():
        _make(file)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(file)
    text = file.read_text()
    pem = text[text.index("-----BEGIN CERTIFICATE") :]
    return context, fingerprint_of(ssl.PEM_cert_to_DER_cert(pem.strip()))


def _make(file: Path) -> None:
    program = shutil.which("openssl")
    if program is None:
        raise SetupError(
            "session.certificate",
            "drivers on a cluster call the service over TLS, and there is no openssl to make its certificate",
            fix="install openssl on the service's host, or set session.deploy_mode to client",
        )
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    fresh = file.with_name(f".{file.name}-{os.getpid()}")
    os.close(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600))
    key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", str(fresh)]
    try:
        done = subprocess.run(
            [program, "req", "-x509", *key, "-days", "36500", "-subj", "/CN=nbplat"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_LIMIT_S,
            check=False,
        )
        if done.returncode:
            raise SetupError(
                "session.certificate",
                f"openssl makes no certificate: {done.stderr.strip()[-300:]}",
                fix="update openssl on the service's host, or set session.deploy_mode to client",
            )
        with fresh.open("a") as out:
            out.write(done.stdout)
        fresh.replace(file)
    finally:
        fresh.unlink(missing_ok=True)
