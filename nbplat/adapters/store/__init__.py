"""The job ledger on SQLAlchemy Core: SQLite in the state folder, or PostgreSQL by URL."""

from nbplat.adapters.store.opening import open_store

__all__ = ["open_store"]
