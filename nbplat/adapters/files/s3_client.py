"""A boto3 client from the options that pyiceberg gives its own S3 reader.

Credentials come from those options, from a profile, or from wherever boto3 looks (variables, files, the machine's
role); they stay in this process's memory.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from nbplat.errors import RemoteError, SetupError

__all__ = ["make_client", "speaking_of"]

_GONE = {"404", "NoSuchKey", "NotFound"}
_DENIED = {"401", "403", "AccessDenied", "InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken"}
_CREDENTIALS_FIX = (
    "check the catalog's s3.* properties, or AWS_PROFILE and the AWS_* variables of the process that runs this"
)


def make_client(options: Mapping[str, str]) -> Any:
    """A client for these options: ``s3.endpoint``, ``s3.region``, ``s3.access-key-id``, ``s3.profile-name`` and so on.

    Raises:
        SetupError: boto3 is not installed, the profile does not exist, or requests would have to be signed by the
            catalog (``s3.signer``).
    """
    try:
        import boto3  # noqa: F401 - asked for first: botocore alone comes with other packages too
        from botocore import UNSIGNED
        from botocore.config import Config
        from botocore.exceptions import BotoCoreError
    except ImportError:
        raise SetupError(
            "storage.s3_missing", "files on S3 need boto3", fix="pip install 'nbplat[s3]'", where="boto3"
        ) from None
    if options.get("s3.signer"):
        raise SetupError(
            "storage.signer",
            f"requests that the catalog signs (s3.signer={options['s3.signer']}) are not supported",
            fix="have the catalog vend credentials, or give a profile: s3.profile-name",
        )
    endpoint = options.get("s3.endpoint")
    path_style = endpoint is not None and not _flag(options, "s3.force-virtual-addressing")
    settings: dict[str, Any] = {
        "s3": {"addressing_style": "path" if path_style else "auto"},
        "retries": {"mode": "standard", "max_attempts": 5},
        "user_agent_extra": "nbplat",
        "max_pool_connections": 32,
        # Stores that are only compatible do not know the checksums that newer clients send unasked.
        "request_checksum_calculation": "when_required",
        "response_checksum_validation": "when_required",
    }
    for option, setting in (("s3.connect-timeout", "connect_timeout"), ("s3.request-timeout", "read_timeout")):
        if value := options.get(option):
            settings[setting] = float(value)
    if proxy := options.get("s3.proxy-uri"):
        settings["proxies"] = {"http": proxy, "https": proxy}
    if _flag(options, "s3.anonymous"):
        settings["signature_version"] = UNSIGNED
    try:
        session = _session(options)
        return session.client("s3", endpoint_url=endpoint, config=Config(**settings))
    except (BotoCoreError, ValueError) as exc:
        raise SetupError("storage.options", f"no S3 client: {exc}", fix=_CREDENTIALS_FIX) from None


@contextmanager
def speaking_of(location: str) -> Iterator[None]:
    """Turn the client's errors into ours; `location` is what the request is about.

    Raises:
        FileNotFoundError: no such object or bucket.
        SetupError: the credentials are missing or refused.
        RemoteError: anything else that the store or the way to it did.
    """
    from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError, PartialCredentialsError

    try:
        yield
    except ClientError as exc:
        error = exc.response.get("Error", {})
        code = str(error.get("Code", ""))
        if code in _GONE:
            raise FileNotFoundError(2, "no such object", location) from None
        if code in _DENIED:
            raise SetupError(
                "storage.denied", f"the store refuses the credentials ({code})", fix=_CREDENTIALS_FIX, where=location
            ) from None
        raise RemoteError(
            "storage.failed",
            f"the store answers {code}: {error.get('Message', '')}",
            fix="see whether the bucket exists and the store is up, then run it again",
            where=location,
        ) from None
    except (NoCredentialsError, PartialCredentialsError):
        raise SetupError("storage.denied", "no credentials for S3", fix=_CREDENTIALS_FIX, where=location) from None
    except BotoCoreError as exc:
        raise RemoteError(
            "storage.failed",
            f"the store cannot be reached: {type(exc).__name__}",
            fix="check s3.endpoint and the network, then run it again",
            where=location,
        ) from None


def _session(options: Mapping[str, str]) -> Any:
    import boto3

    session = boto3.session.Session(
        profile_name=_first(options, "s3.profile-name", "client.profile-name"),
        region_name=_first(options, "s3.region", "client.region"),
        aws_access_key_id=_first(options, "s3.access-key-id", "client.access-key-id"),
        aws_secret_access_key=_first(options, "s3.secret-access-key", "client.secret-access-key"),
        aws_session_token=_first(options, "s3.session-token", "client.session-token"),
    )
    role = _first(options, "s3.role-arn", "client.role-arn")
    return _assumed(session, role, options) if role else session


def _assumed(session: Any, role: str, options: Mapping[str, str]) -> Any:
    """A session of a role, whose credentials are renewed when they end."""
    import boto3
    import botocore.session
    from botocore.credentials import AssumeRoleCredentialFetcher, DeferredRefreshableCredentials

    name = _first(options, "s3.role-session-name", "client.role-session-name") or "nbplat"
    inner = botocore.session.get_session()
    inner.set_config_variable("region", session.region_name)
    fetcher = AssumeRoleCredentialFetcher(
        client_creator=session._session.create_client,  # noqa: SLF001 - botocore's own factory, behind boto3's session
        source_credentials=session.get_credentials(),
        role_arn=role,
        extra_args={"RoleSessionName": name},
    )
    inner._credentials = DeferredRefreshableCredentials(  # noqa: SLF001 - the documented way to plug them in
        method="assume-role", refresh_using=fetcher.fetch_credentials
    )
    return boto3.session.Session(botocore_session=inner)


def _first(options: Mapping[str, str], *names: str) -> str | None:
    return next((options[name] for name in names if options.get(name)), None)


def _flag(options: Mapping[str, str], name: str) -> bool:
    return str(options.get(name, "")).lower() in ("true", "1", "yes", "y", "on", "t")
