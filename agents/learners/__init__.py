"""How models learn: objectives, batches, and the learners themselves. Needs torch; nothing is imported here."""
