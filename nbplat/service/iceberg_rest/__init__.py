"""The Iceberg REST catalog protocol (v1) over the embedded catalog, for engines that are not Python.

Its errors, bodies and status codes are the protocol's, not ours; nothing of it is in our OpenAPI page.
"""
