"""The Berkeley Function-Calling Leaderboard (BFCL): its data, verdicts equal to its own, and an environment.

Patil et al., "The Berkeley Function Calling Leaderboard (BFCL): From Tool Use to Agentic Evaluation of Large Language
Models", ICML 2025.
"""
