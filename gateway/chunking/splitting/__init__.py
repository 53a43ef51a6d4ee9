"""Where a script may be cut, and which stretches go together."""
