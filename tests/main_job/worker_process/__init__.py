"""worker="process": a process of its own delivers."""
