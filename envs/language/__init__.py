"""What the language environments share: tools, dialects, and the base class."""
