"""The Model Context Protocol, from both sides: servers as toolsets for tasks, environments as servers."""
