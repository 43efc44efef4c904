"""Bytes from hell: cache directories that nobody wrote so, and brokers that send anything."""
