"""The real Kubernetes control plane of the end-to-end tests: how it is built, found, secured and run."""
