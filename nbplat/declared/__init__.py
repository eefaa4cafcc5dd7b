"""What people declare, as a tree of values that know where they were written; YAML and Python calls both become one."""
