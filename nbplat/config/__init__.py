"""One frozen Config whose values know their source.

Later wins: built-in default, user file, project file (`nbplat.toml`, looked for upward from the
working folder), ``NBPLAT_*`` variables, options given in the call. Secrets are named by reference
only (a file or a variable), so nothing here has to be hidden but what a URL may carry.
"""

from __future__ import annotations

from nbplat.config.layers import load_config
from nbplat.config.settings import Config, Setting
from nbplat.config.values import redact_url

__all__ = ["Config", "Setting", "load_config", "redact_url"]
