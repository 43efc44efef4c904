"""Who takes part. Each module runs in a process of its own and may import its one library."""
