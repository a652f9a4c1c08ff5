"""End-to-end tests: gpuward behind a real Kubernetes control plane."""
