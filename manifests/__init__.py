"""How gpuward gets into a cluster: the Helm chart, the plain manifests made from it, and what writes them."""
