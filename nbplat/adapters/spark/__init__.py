"""Spark: its Iceberg jar and the conf of a session."""
