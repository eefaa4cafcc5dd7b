"""Other Python interpreters on this machine."""
