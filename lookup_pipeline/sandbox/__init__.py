"""A simulated people-lookup provider, served over real HTTP: its API, its limits, its faults.

It exists so that the pipeline can be tried, tested and measured without an account and without
spending a credit. `server` builds the application, `process` runs it for a test or a benchmark,
`command` is the command line. Nothing here imports another part of the pipeline: what both sides
know about the API is written twice on purpose, so that one mistake cannot hide the other.
"""
