"""Policies in other forms: what a cluster without gpuward could enforce. Pure: documents in, documents out."""
