"""Runs the simulated API by `python -m lookup_pipeline.sandbox`."""

from lookup_pipeline.sandbox.command import sandbox

sandbox(prog_name="python -m lookup_pipeline.sandbox")
