"""Kubernetes' own admission policies in the real API server and in gpuward: the same verdicts, the same objects.

Every file in `policies/` is a policy with its bindings and parameters, and requests of its own (a document of kind
Requests); `requests.yaml` are the requests that are made under every policy. See `harness`.
"""
