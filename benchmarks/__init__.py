"""The load harness: ``python -m benchmarks``. The gateway never imports it."""
