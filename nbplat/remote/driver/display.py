"""What a value looks like: a bundle of text, HTML, images and JSON by MIME type, without IPython."""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any

__all__ = ["bundle_of", "figure_png", "install_display"]

# How IPython's own methods name the types; an image comes as bytes, the rest as text or JSON.
_METHODS = (
    ("text/html", "_repr_html_"),
    ("text/markdown", "_repr_markdown_"),
    ("text/latex", "_repr_latex_"),
    ("image/svg+xml", "_repr_svg_"),
    ("image/png", "_repr_png_"),
    ("image/jpeg", "_repr_jpeg_"),
    ("application/json", "_repr_json_"),
)
_TEXT_CHARS = 1 << 20


def bundle_of(value: Any) -> dict[str, Any]:
    """Every form that a value offers, by MIME type; ``text/plain`` is always there.

    A method that raises offers nothing. Images are base64.
    """
    bundle: dict[str, Any] = {"text/plain": _plain(value)}
    if isinstance(value, type):
        return bundle
    own = _call(value, "_repr_mimebundle_")
    if own is not None:
        data = own[0] if isinstance(own, tuple) else own
        if isinstance(data, dict):
            bundle.update((str(mime), _sendable(item)) for mime, item in data.items())
            return bundle
    for mime, method in _METHODS:
        item = _call(value, method)
        if isinstance(item, tuple):
            item = item[0]
        if item is not None:
            bundle[mime] = _sendable(item)
    if _is_figure(value):
        bundle["image/png"] = figure_png(value)
    return bundle


def figure_png(figure: Any) -> str:
    """A matplotlib figure as base64 of a PNG."""
    import io

    out = io.BytesIO()
    figure.savefig(out, format="png", bbox_inches="tight")
    return base64.b64encode(out.getvalue()).decode("ascii")


def install_display(send: Callable[[dict[str, Any]], None]) -> Callable[..., None]:
    """The function ``display`` for a session's names: shows values before the statement has ended.

    Args:
        send: Takes a bundle.
    """

    def display(*values: Any, **_: Any) -> None:
        """Show values in the cell, each in its richest form."""
        for value in values:
            send(bundle_of(value))

    return display


def _plain(value: Any) -> str:
    try:
        text = repr(value)
    except Exception as exc:  # noqa: BLE001 - a value whose repr fails must not fail the cell
        return f"<{type(value).__name__} whose repr raises {type(exc).__name__}>"
    if len(text) <= _TEXT_CHARS:
        return text
    return f"{text[:_TEXT_CHARS]}… ({len(text):,} characters)"


def _call(value: Any, method: str) -> Any:
    # On the class: an object that answers every name (a mock, a py4j proxy, a Spark column) offers nothing by that.
    if getattr(type(value), method, None) is None:
        return None
    try:
        return getattr(value, method)()
    except Exception:  # noqa: BLE001 - another form is shown then
        return None


def _sendable(item: Any) -> Any:
    return base64.b64encode(item).decode("ascii") if isinstance(item, (bytes, bytearray)) else item


def _is_figure(value: Any) -> bool:
    return any(f"{kind.__module__}.{kind.__name__}" == "matplotlib.figure.Figure" for kind in type(value).__mro__)
