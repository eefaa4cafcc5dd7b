"""Spark sessions that last: a driver process each, statements and outputs in the store, Livy's protocol in front."""
