"""The proof: random programs, and every crash point of small scenarios, each step looked at by the laws. Portable."""
