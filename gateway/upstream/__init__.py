"""Send it: connections, attempts, and the framing of what comes back."""
