"""Runs: the one place that knows the features. Recipes of phases that yield `RunEvent`s.

Must not print or exit: shells render the events. Posture: whatever happens, the run folder
is left readable, and a run that proved nothing is inconclusive, never passed.

Nothing is imported here: a recipe brings what it needs, and a long replay not what only its end needs.
"""
