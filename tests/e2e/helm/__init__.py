"""Helm, built from its Go module, for rendering the chart and for installing it on the real control plane."""
