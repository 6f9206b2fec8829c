"""Draw it: figures, and runs as the report shows them."""
