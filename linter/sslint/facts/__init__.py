"""Facts: what a host's readings say once they are joined. A fact describes and never judges.

Each kind has a class in a module of its own (fact.py says how one is written), and a property of
`Facts` (collection.py). `make docs` writes schemas/facts.schema.json and docs/facts.md of them.
"""
