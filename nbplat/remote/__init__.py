"""Code that runs in other interpreters: Ray workers, Spark executors, a notebook's own Python.

Standard library, numpy and pyarrow only (duckdb, pyspark and ray on use); Python 3.9 and up; no import
of nbplat. The modules name each other relatively, so that the folder may be shipped under any name.
"""

PROTOCOL = 1
"""Goes up when a task or a result changes its shape; both sides must agree."""
