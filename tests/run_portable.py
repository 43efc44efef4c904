"""Run the tests of ``tests/portable`` without pytest and without unittest: for MicroPython, and as a check for CPython.

    micropython tests/run_portable.py [word ...]

A word chooses the tests whose name (``tests.portable.test_link.LinkTest.test_...``) holds it.
The last line reads ``portable: 57 passed, 0 failed``; the exit code is 1 if anything failed or nothing ran.
"""

import os
import sys


def main(arguments: "list[str]") -> int:
    here = __file__.replace("\\", "/").rpartition("/")[0] or "."
    sys.path.insert(0, here + "/..")
    from tests.support import mini_unittest

    # The same name for the test files on both interpreters: pytest gives them the real one.
    sys.modules["unittest"] = mini_unittest
    passed = failed = 0
    for file_name in sorted(os.listdir(here + "/portable")):
        if not file_name.startswith("test_") or not file_name.endswith(".py"):
            continue
        try:
            module = __import__("tests.portable." + file_name[:-3], None, None, ("*",))
        except Exception as error:  # noqa: BLE001 - a file that does not import is one failure, the others still run
            print("FAILED to import " + file_name)
            mini_unittest.print_exception(error)
            failed += 1
            continue
        counts = mini_unittest.run_module(module, arguments)
        passed += counts[0]
        failed += counts[1]
    print("portable: %d passed, %d failed" % (passed, failed))
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
