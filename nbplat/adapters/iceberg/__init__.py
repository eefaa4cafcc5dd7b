"""pyiceberg: catalogs, pinned reads, staging tables and the committer."""
