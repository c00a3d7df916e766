"""Software repair: sandboxes in which programs that nobody trusts are run."""
