"""DuckDB: the local engine."""
