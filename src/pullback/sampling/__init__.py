"""Averages of gradients over random inputs.

Read `distributions`, then `inputs`, then `study`. This file imports nothing: one room does not bring in
the others.
"""
