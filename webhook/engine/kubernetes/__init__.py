"""Kubernetes' own admission policies, run as the API server runs them.

    documents -> load.compile_set -> AdmissionPolicies, part of the Ruleset
    request -> AdmissionPolicies.candidates -> invoke.invocations -> validate.judge -> findings

Source: k8s.io/apiserver ``pkg/admission/plugin/policy``, v1.36.
"""
