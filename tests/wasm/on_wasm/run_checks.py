"""Run ``transport_checks`` on lwip.py's sockets; words choose tests, as in tests/run_portable.py."""

import sys

from tests.support import mini_unittest
from tests.wasm.on_wasm import lwip

sys.modules["socket"] = sys.modules["usocket"] = lwip
from tests.wasm.on_wasm import transport_checks  # noqa: E402

passed, failed = mini_unittest.run_module(transport_checks, sys.argv[1:])
print("over lwIP: %d passed, %d failed" % (passed, failed))
sys.exit(1 if failed or not passed else 0)
