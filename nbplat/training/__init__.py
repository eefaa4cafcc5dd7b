"""The training join: a model reads base and staged columns together, before anything is promoted."""
