"""Column splice: append column chunks to a Parquet file by copying bytes, never decoding a value."""
