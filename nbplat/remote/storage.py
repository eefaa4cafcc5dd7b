"""Opening locations with pyarrow's file systems, in whatever process needs them."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

import pyarrow.fs

from .failure import KernelError

__all__ = ["filesystem"]

_LOCAL = pyarrow.fs.LocalFileSystem()
_S3 = ("s3", "s3a", "s3n")
_CREDENTIALS_FIX = "check the catalog's s3.* properties, or AWS_PROFILE and the AWS_* variables of the workers"


def filesystem(location: str, storage: Mapping[str, str]) -> tuple[pyarrow.fs.FileSystem, str]:
    """The file system of a location, and the location's path in it.

    Args:
        location: A plain path, ``file:/…``, ``file:///…`` or ``s3://bucket/key``.
        storage: Options of the object store as pyiceberg names them (``s3.endpoint``,
            ``s3.access-key-id``, ``s3.profile-name`` …); not used for local files. Without
            credentials among them, this process's own are taken: variables, files, the machine's role.

    Raises:
        KernelError: ``storage.scheme``, a scheme that this process cannot open; ``storage.signer``;
            ``storage.options``, a profile that does not exist here.
    """
    scheme, colon, rest = location.partition(":")
    if not colon or location.startswith("/"):
        return _LOCAL, location
    if scheme == "file":
        # Iceberg locations are not percent-encoded: what stands after the scheme is the path.
        return _LOCAL, "/" + rest.lstrip("/")
    if scheme in _S3:
        path = rest.lstrip("/")
        return _s3(path.partition("/")[0], tuple(sorted(storage.items()))), path
    raise KernelError(
        "storage.scheme",
        f"locations of scheme {scheme!r} cannot be opened here",
        fix="use a local folder or S3",
        where=location,
        kind="SetupError",
    )


@functools.lru_cache(maxsize=32)
def _s3(bucket: str, storage: tuple[tuple[str, str], ...]) -> pyarrow.fs.FileSystem:
    options = dict(storage)
    if options.get("s3.signer"):
        raise KernelError(
            "storage.signer",
            f"requests that the catalog signs (s3.signer={options['s3.signer']}) are not supported",
            fix="have the catalog vend credentials, or give a profile: s3.profile-name",
            kind="SetupError",
        )
    endpoint = options.get("s3.endpoint")
    region = _first(options, "s3.region", "client.region")
    if region is None and endpoint is None:
        try:
            region = pyarrow.fs.resolve_s3_region(bucket)
        except (OSError, TypeError):
            region = None  # the process's own region, as the client finds it
    arguments: dict[str, Any] = {
        "endpoint_override": endpoint,
        "region": region,
        "proxy_options": options.get("s3.proxy-uri"),
        "role_arn": _first(options, "s3.role-arn", "client.role-arn"),
        "session_name": _first(options, "s3.role-session-name", "client.role-session-name"),
        **_credentials(options),
    }
    for option, argument in (("s3.connect-timeout", "connect_timeout"), ("s3.request-timeout", "request_timeout")):
        if value := options.get(option):
            arguments[argument] = float(value)
    for option, argument in (
        ("s3.force-virtual-addressing", "force_virtual_addressing"),
        ("s3.anonymous", "anonymous"),
    ):
        if str(options.get(option, "")).lower() in ("true", "1", "yes", "y", "on", "t"):
            arguments[argument] = True
    return pyarrow.fs.S3FileSystem(**{name: value for name, value in arguments.items() if value is not None})


def _credentials(options: Mapping[str, str]) -> dict[str, str | None]:
    """Keys from the options, or of the profile that they name."""
    profile = _first(options, "s3.profile-name", "client.profile-name")
    if profile is None:
        return {
            "access_key": _first(options, "s3.access-key-id", "client.access-key-id"),
            "secret_key": _first(options, "s3.secret-access-key", "client.secret-access-key"),
            "session_token": _first(options, "s3.session-token", "client.session-token"),
        }
    try:
        import boto3
        from botocore.exceptions import BotoCoreError
    except ImportError:
        raise KernelError(
            "storage.s3_missing",
            f"profile {profile!r} is read by boto3, which is not installed here",
            fix="pip install 'nbplat[s3]', or set AWS_PROFILE in the workers' environment instead",
            kind="SetupError",
        ) from None
    try:
        found = boto3.session.Session(profile_name=profile).get_credentials()
    except BotoCoreError as exc:
        raise KernelError(
            "storage.options",
            f"no credentials from profile {profile!r}: {exc}",
            fix=_CREDENTIALS_FIX,
            kind="SetupError",
        ) from None
    if found is None:
        raise KernelError(
            "storage.options", f"profile {profile!r} has no credentials", fix=_CREDENTIALS_FIX, kind="SetupError"
        )
    frozen = found.get_frozen_credentials()
    return {"access_key": frozen.access_key, "secret_key": frozen.secret_key, "session_token": frozen.token}


def _first(options: Mapping[str, str], *names: str) -> str | None:
    return next((options[name] for name in names if options.get(name)), None)
