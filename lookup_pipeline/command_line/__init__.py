"""What the command line does, one file a command; `cli.py` only names options."""
