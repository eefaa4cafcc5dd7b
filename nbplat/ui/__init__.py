"""What a person touches: magics, the command line, the Python names, and how results look."""
