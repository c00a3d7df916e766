from __future__ import annotations

import sys
from pathlib import Path

# The environments under check must be importable by name, in spawned processes too.
sys.path.insert(0, str(Path(__file__).parent))
