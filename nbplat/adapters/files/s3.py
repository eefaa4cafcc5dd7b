"""Files on S3-compatible stores: copied inside the store, appended as the last part of an upload."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, BinaryIO, cast

from nbplat.adapters.files.s3_client import make_client, speaking_of
from nbplat.adapters.files.s3_upload import MIN_PART_BYTES, Upload
from nbplat.terms import Span, StoredFile

__all__ = ["S3Files"]

_TAIL_BYTES = 64 << 10
"""Read when a file is opened: most footers lie in it, so that a footer costs one request."""
_BUFFER_BYTES = 1 << 20
_COPY_BYTES = 8 << 20


class S3Files:
    """`nbplat.terms.Files` of ``s3://bucket/key`` (also spelled ``s3a`` and ``s3n``).

    Args:
        options: As pyiceberg names them; see `make_client`.
    """

    def __init__(self, options: Mapping[str, str]) -> None:
        self._client = make_client(options)
        self._extra = _encryption(options)

    def open_input(self, location: str) -> BinaryIO:
        """Open for reading, by ranges."""
        bucket, key = split_location(location)
        return cast(BinaryIO, io.BufferedReader(_Input(self._client, bucket, key, location), _BUFFER_BYTES))

    @contextmanager
    def open_output(self, location: str) -> Iterator[BinaryIO]:
        """Write an object: in one request when it is small, in parts when it is not."""
        with self._upload(location) as upload:
            yield cast(BinaryIO, _Output(upload))

    def size(self, location: str) -> int:
        """Size in bytes."""
        bucket, key = split_location(location)
        with speaking_of(location):
            return int(self._client.head_object(Bucket=bucket, Key=key)["ContentLength"])

    def compose(self, location: str, base: str, length: int, tail: Sequence[bytes | Span]) -> int:
        """Copy parts inside the store and upload the tail as the last; what is below a part's minimum is streamed."""
        with self._upload(location) as upload:
            if length >= MIN_PART_BYTES:
                with speaking_of(base):
                    upload.copy(*split_location(base), length)
            else:
                with self.open_input(base) as source:
                    upload.write(_exactly(source, 0, length))
            for piece in tail:
                if isinstance(piece, Span):
                    for start in range(0, piece.length, _COPY_BYTES):
                        upload.write(_exactly(piece.file, piece.start + start, min(_COPY_BYTES, piece.length - start)))
                else:
                    upload.write(piece)
        return upload.size

    def copies_unseen(self, location: str, base: str, length: int) -> bool:
        """True above the least size of a part."""
        return length >= MIN_PART_BYTES

    def delete(self, location: str) -> None:
        """Delete; nothing happens when it is gone."""
        bucket, key = split_location(location)
        with speaking_of(location):
            self._client.delete_object(Bucket=bucket, Key=key)

    def list(self, prefix: str) -> Iterator[StoredFile]:
        """Every object below a folder."""
        bucket, key = split_location(prefix.rstrip("/") + "/")
        scheme = prefix.partition("://")[0]
        pages = self._client.get_paginator("list_objects_v2")
        with speaking_of(prefix):
            for page in pages.paginate(Bucket=bucket, Prefix=key):
                for found in page.get("Contents", ()):
                    written = int(found["LastModified"].timestamp() * 1000)
                    yield StoredFile(f"{scheme}://{bucket}/{found['Key']}", int(found["Size"]), written)

    def free_bytes(self, location: str) -> int | None:
        """None: a store has no end."""
        return None

    def sweep(self, prefix: str, before_ms: int, *, named: str = "") -> int:
        """Abort uploads that were begun before and never ended."""
        bucket, key = split_location(prefix.rstrip("/") + "/")
        swept = 0
        pages = self._client.get_paginator("list_multipart_uploads")
        with speaking_of(prefix):
            for page in pages.paginate(Bucket=bucket, Prefix=key):
                for upload in page.get("Uploads", ()):
                    if named in upload["Key"] and upload["Initiated"].timestamp() * 1000 < before_ms:
                        self._client.abort_multipart_upload(
                            Bucket=bucket, Key=upload["Key"], UploadId=upload["UploadId"]
                        )
                        swept += 1
        return swept

    @contextmanager
    def _upload(self, location: str) -> Iterator[Upload]:
        upload = Upload(self._client, *split_location(location), self._extra)
        with speaking_of(location):
            try:
                yield upload
                upload.complete()
            except BaseException:
                upload.abort()
                raise


def split_location(location: str) -> tuple[str, str]:
    """``s3://bucket/a/b`` as bucket and key; a key is not percent-decoded."""
    bucket, _, key = location.partition("://")[2].partition("/")
    return bucket, key


def _exactly(file: BinaryIO, start: int, length: int) -> bytes:
    file.seek(start)
    data = file.read(length)
    if len(data) < length:
        raise EOFError(f"{length - len(data)} bytes are missing")
    return data


def _encryption(options: Mapping[str, str]) -> dict[str, str]:
    """Server-side encryption that the table's options ask for."""
    names = {"s3.server-side-encryption": "ServerSideEncryption", "s3.sse-kms-key-id": "SSEKMSKeyId"}
    return {parameter: options[name] for name, parameter in names.items() if options.get(name)}


class _Input(io.RawIOBase):
    """An object read by ranges; its end is read when it is opened."""

    def __init__(self, client: Any, bucket: str, key: str, location: str) -> None:
        self._client, self._bucket, self._key = client, bucket, key
        self.name = location
        self._at = 0
        self._tail, self._size = self._open()

    def _open(self) -> tuple[bytes, int]:
        from botocore.exceptions import ClientError

        try:
            with speaking_of(self.name):
                try:
                    reply = self._client.get_object(Bucket=self._bucket, Key=self._key, Range=f"bytes=-{_TAIL_BYTES}")
                except ClientError as exc:
                    if exc.response["Error"].get("Code") not in ("InvalidRange", "416"):
                        raise
                    return b"", 0  # an empty object has no last bytes
                tail = reply["Body"].read()
        except BaseException:
            self.close()
            raise
        spoken = reply.get("ContentRange", "").rpartition("/")[2]
        return tail, int(spoken) if spoken else len(tail)

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = 0) -> int:
        self._at = offset + (0, self._at, self._size)[whence]
        return self._at

    def tell(self) -> int:
        return self._at

    def readinto(self, buffer: Any) -> int:
        data = self._next(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def readall(self) -> bytes:
        return self._next(self._size)  # the inherited one asks for a few kilobytes at a time

    def _next(self, most: int) -> bytes:
        wanted = min(most, max(self._size - self._at, 0))
        if not wanted:
            return b""
        behind = self._at - (self._size - len(self._tail))
        if behind >= 0:
            data = self._tail[behind : behind + wanted]
        else:
            with speaking_of(self.name):
                span = f"bytes={self._at}-{self._at + wanted - 1}"
                data = bytes(self._client.get_object(Bucket=self._bucket, Key=self._key, Range=span)["Body"].read())
        self._at += len(data)
        return data


class _Output(io.RawIOBase):
    """Writes into an upload."""

    def __init__(self, upload: Upload) -> None:
        self._upload = upload

    def writable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._upload.size

    def write(self, data: Any) -> int:
        view = memoryview(data)
        self._upload.write(view)
        return view.nbytes
