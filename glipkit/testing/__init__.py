"""Small seeded worlds and toy parts for tests, the demo and benchmarks."""
