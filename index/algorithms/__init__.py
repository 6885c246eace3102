"""Algorithms on graphs as plain functions of CSR arrays."""
