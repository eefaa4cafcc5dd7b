"""What each verb does: a request to the desk, and its answer as a Result. One file a noun."""
