"""One service per user: HTTP on loopback, a worker beside it, both gone without a trace when stopped."""
