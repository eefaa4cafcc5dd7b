"""One object being written: kept until it is large, then uploaded part by part."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

__all__ = ["MIN_PART_BYTES", "Upload"]

MIN_PART_BYTES = 5 << 20
"""Every part but the last has to be this large."""
_UPLOAD_PART_BYTES = 16 << 20
_COPY_PART_BYTES = 256 << 20
"""Far below the 5 GiB that one copy may have: stores copy parts side by side, and each at a limited speed."""
_COPIES_AT_ONCE = 4


class Upload:
    """Bytes and copies in order, then `complete`; or `abort`, which leaves nothing.

    Attributes:
        size: Bytes so far.
    """

    def __init__(self, client: Any, bucket: str, key: str, extra: Mapping[str, str]) -> None:
        self._client, self._extra = client, dict(extra)
        self._target = {"Bucket": bucket, "Key": key}
        self._id: str | None = None
        self._parts: list[dict[str, Any]] = []
        self._kept = bytearray()
        self.size = 0

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Append bytes."""
        self._kept += data
        self.size += len(data) if not isinstance(data, memoryview) else data.nbytes
        while len(self._kept) >= _UPLOAD_PART_BYTES:
            self._send(bytes(self._kept[:_UPLOAD_PART_BYTES]))
            del self._kept[:_UPLOAD_PART_BYTES]

    def copy(self, bucket: str, key: str, length: int) -> None:
        """Copy the first `length` bytes of an object inside the store; nothing may have been written before.

        Args:
            length: `MIN_PART_BYTES` at least.
        """
        count = max(1, length // _COPY_PART_BYTES)
        edges = [length * number // count for number in range(count + 1)]
        source = {"Bucket": bucket, "Key": key}
        upload = self._begin()

        def part(number: int) -> dict[str, Any]:
            reply = self._client.upload_part_copy(
                **self._target,
                UploadId=upload,
                PartNumber=number + 1,
                CopySource=source,
                CopySourceRange=f"bytes={edges[number]}-{edges[number + 1] - 1}",
            )
            return {"PartNumber": number + 1, "ETag": reply["CopyPartResult"]["ETag"]}

        with ThreadPoolExecutor(min(count, _COPIES_AT_ONCE)) as pool:
            self._parts += pool.map(part, range(count))
        self.size += length

    def complete(self) -> None:
        """Make the object appear."""
        if self._id is None:
            self._client.put_object(**self._target, Body=bytes(self._kept), **self._extra)
            return
        if self._kept:
            self._send(bytes(self._kept))
        self._client.complete_multipart_upload(
            **self._target, UploadId=self._id, MultipartUpload={"Parts": self._parts}
        )

    def abort(self) -> None:
        """Give the parts up; a store that does not answer keeps them until they are swept."""
        from botocore.exceptions import BotoCoreError, ClientError

        if self._id is not None:
            try:
                self._client.abort_multipart_upload(**self._target, UploadId=self._id)
            except (BotoCoreError, ClientError):
                return  # what went wrong first is what the caller has to hear

    def _begin(self) -> str:
        if self._id is None:
            self._id = str(self._client.create_multipart_upload(**self._target, **self._extra)["UploadId"])
        return self._id

    def _send(self, data: bytes) -> None:
        number = len(self._parts) + 1
        upload = self._begin()
        reply = self._client.upload_part(**self._target, UploadId=upload, PartNumber=number, Body=data)
        self._parts.append({"PartNumber": number, "ETag": reply["ETag"]})
