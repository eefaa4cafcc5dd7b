"""Views that need a kernel; each has text and HTML that need none."""
