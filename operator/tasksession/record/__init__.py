"""What remains of a session: who asked, under which policy, what was granted, when and why it ended."""
