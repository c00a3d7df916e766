"""The office: a deterministic, seeded world of nine applications and the tools that work in it."""
