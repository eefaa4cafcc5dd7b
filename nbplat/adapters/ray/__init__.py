"""Staging on Ray: pieces run as tasks of a cluster that is there, or of one started for the step."""
