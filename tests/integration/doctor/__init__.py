"""Guards that are weakened, and the doctor, on a real API server."""
