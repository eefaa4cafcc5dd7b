"""Python environments: declare -> lock -> build -> pack -> ship -> check; one for kernel, driver and workers."""
