"""The flows: register, submit, poll, publish. Plain Python; Dagster and the CLI call them."""
