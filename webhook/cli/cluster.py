"""What the commands that ask a cluster share."""

from __future__ import annotations


def no_cluster(kubeconfig: str | None) -> str:
    """What to say where no cluster is known; ``kubeconfig`` is what ``--kubeconfig`` names, if anything."""
    why = kubeconfig or "this is no pod and $KUBECONFIG is not set"
    return f"no cluster is known: {why}; name a kubeconfig file with --kubeconfig"
