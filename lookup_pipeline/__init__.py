"""Nightly people enrichment: CSV of names in, RocketReach lookups submitted once, Parquet out."""
