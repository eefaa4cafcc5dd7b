"""Files by location: on a local disk and on S3-compatible stores, behind one interface."""
