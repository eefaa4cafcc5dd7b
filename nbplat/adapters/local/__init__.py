"""The ``local`` engine's runner: threads of this process."""
