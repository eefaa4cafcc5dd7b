"""The routes of the service, one file a noun; each has `router(platform)`."""
