"""Training joins: base rows of one unit with the staged rows that belong to them, attached by position or by key."""
