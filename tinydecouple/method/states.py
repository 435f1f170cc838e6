"""Checks and standardising that all of method/ stands on."""

from tinydecouple.method.probe import check_matrix, check_states, standardise

__all__ = ["check_matrix", "check_states", "standardise"]
