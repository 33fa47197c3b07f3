"""What becomes of findings: made small, diagnosed, published, kept, made again."""
