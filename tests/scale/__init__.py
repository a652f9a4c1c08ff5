"""gpuward at scale, by arithmetic and simulation. See docs/scale.md."""
