"""CSV files of people → usable rows, rejected rows, queries and identities.

``files`` finds the CSV files of a date, ``reader`` turns them into data frames and ``identity``
says what is asked about a row and which rows mean the same person. Nothing here knows Dagster,
the ledger or the provider's API.
"""
