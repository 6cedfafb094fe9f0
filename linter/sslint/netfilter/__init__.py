"""The ruleset model and its evaluator: who can reach a port. Knows no text format."""
