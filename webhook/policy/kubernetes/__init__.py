"""Kubernetes' own admission policies (admissionregistration.k8s.io): their documents, and what they match."""
