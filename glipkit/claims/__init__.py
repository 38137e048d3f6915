"""What the papers say, repeated in miniature; in hours."""
