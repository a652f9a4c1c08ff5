"""The benchmark: what a review costs, beside what HTTP and TLS cost in any case. See docs/performance.md."""
