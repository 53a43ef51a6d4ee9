"""What the lines of a script are."""
