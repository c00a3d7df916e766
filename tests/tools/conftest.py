import sys
from pathlib import Path

# Helpers beside the tests, which are scripts of their own, too.
if str(Path(__file__).parent) not in sys.path:
    sys.path.append(str(Path(__file__).parent))
