"""Small seeded worlds that the package draws: shapes, and stamps of real things."""
