import sys
from pathlib import Path

TOYS = Path(__file__).parent / "toys"
if str(TOYS) not in sys.path:
    sys.path.append(str(TOYS))
