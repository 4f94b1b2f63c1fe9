"""A second, plain implementation of the trading rules, to hold the engine in the database against.

Written from the rules alone: in memory, one request after another, exact fractions, slow, without any thought
for speed. Numbers in comments and docstrings ("rule 14") are those of the trading rules.
"""
