"""The benchmarks behind tools/bench: what is measured, how, against whom, and what the figures must reach."""
