"""Two-stage feature backfill: spec -> plan -> stage -> audit -> promote -> roll back, and explain."""
