"""What the client promises, from end to end: the CPython port, real processes, a real Mosquitto."""
