"""What happened? Metrics, logs, and how several worker processes add up to one ``/metrics``.

Everything hangs on ``CallRecord``: the metrics and the call log are observers, functions of one
finished call, and come in through the same hook as a plugin's.
"""
