"""Fast forms of operations that several parts share: attention in chunks, gathered products."""
