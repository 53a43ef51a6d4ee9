"""One call's parts, from their first request to their last word."""
