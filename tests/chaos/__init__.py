"""What happens to admission while things go wrong, planned and unplanned: see docs/high-availability.md."""
