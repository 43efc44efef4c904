"""Deliberate faults in the core: the simulation must catch each. See ``mutants.py``."""
