"""Detection heads: DyHead blocks, box arithmetic, assignment, post-processing."""
