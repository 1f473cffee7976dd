"""The method, as in the papers: the operator G, the algorithms, their steps and their order."""
