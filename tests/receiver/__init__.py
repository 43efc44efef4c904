"""What arrives at the far end, and what a receiver can say of it."""
