"""What piker costs, beside what its parts cost bare: ``python -m benchmarks list``."""
