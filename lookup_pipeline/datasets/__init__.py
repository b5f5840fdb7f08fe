"""The published datasets: their columns, their Parquet files, and where those lie."""
