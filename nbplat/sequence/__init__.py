"""User sequences: the last events of each type as of each example, exact in time, from one index of sorted events."""
