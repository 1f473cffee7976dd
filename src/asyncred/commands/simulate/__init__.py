"""Problems with a known truth, for trying things out and for measuring; one module a kind.

``flags`` has their command lines.
"""
