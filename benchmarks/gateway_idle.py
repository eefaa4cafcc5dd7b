"""The platform with drivers that have no Spark, for what a service holds of many sessions."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from nbplat.compose import Platform
from nbplat.compose import open_platform as open_whole
from nbplat.config import Config
from nbplat.session.records import SessionDraft

__all__ = ["open_platform"]


class _Idle(Platform):
    def session_draft(self, fields: dict[str, Any], owner: str, service_url: str, token: str) -> SessionDraft:
        return replace(super().session_draft(fields, owner, service_url, token), kind="python")


def open_platform(config: Config) -> Platform:
    whole = open_whole(config)
    whole.__class__ = _Idle
    return whole
