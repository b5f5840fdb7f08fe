"""Trouble on purpose: killed processes, faults, full disks, locks, jumping clocks, bad files.

`make campaign`, or `python -m lookup_pipeline_tests.campaign --help`. Every scenario works with
what production works with (processes of their own, HTTP, SQLite, Parquet) and ends with an audit;
only `csv_fuzz` does without the API, and checks each file by itself. A new one is a function from
`Options` to `Result`, listed in `scenarios.py`.
"""
