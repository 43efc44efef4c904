"""As much of ``unittest`` as the portable tests use, for MicroPython, which has none. See ``tests/run_portable.py``."""

import sys


class _Raises:
    """What ``with self.assertRaises(...)`` gives: afterwards ``exception`` is what was raised."""

    def __init__(self, expected: "type | tuple") -> None:
        self.expected = expected
        self.exception = None

    def __enter__(self) -> "_Raises":
        return self

    def __exit__(self, kind: "type | None", error: "BaseException | None", trace: object) -> bool:
        if kind is None:
            raise AssertionError("%s was not raised" % (self.expected,))
        if not issubclass(kind, self.expected):
            return False
        self.exception = error
        return True


class TestCase:
    """The assertions, each with ``msg`` as in the real one."""

    def setUp(self) -> None:
        """Before each test."""

    def tearDown(self) -> None:
        """After each test whose setUp went well."""

    def fail(self, msg: "str | None" = None) -> None:
        raise AssertionError(msg or "failed")

    def _check(self, good: bool, words: str, values: tuple, msg: "str | None") -> None:
        if not good:
            text = words % values
            raise AssertionError(text if msg is None else "%s : %s" % (text, msg))

    def assertEqual(self, first: object, second: object, msg: "str | None" = None) -> None:
        self._check(first == second, "%r != %r", (first, second), msg)

    def assertNotEqual(self, first: object, second: object, msg: "str | None" = None) -> None:
        self._check(first != second, "%r == %r", (first, second), msg)

    def assertTrue(self, value: object, msg: "str | None" = None) -> None:
        self._check(bool(value), "%r is not true", (value,), msg)

    def assertFalse(self, value: object, msg: "str | None" = None) -> None:
        self._check(not value, "%r is not false", (value,), msg)

    def assertIsNone(self, value: object, msg: "str | None" = None) -> None:
        self._check(value is None, "%r is not None", (value,), msg)

    def assertIsNotNone(self, value: object, msg: "str | None" = None) -> None:
        self._check(value is not None, "%r is None", (value,), msg)

    def assertIn(self, member: object, container: object, msg: "str | None" = None) -> None:
        self._check(member in container, "%r is not in %r", (member, container), msg)

    def assertNotIn(self, member: object, container: object, msg: "str | None" = None) -> None:
        self._check(member not in container, "%r is in %r", (member, container), msg)

    def assertIsInstance(self, value: object, kind: "type | tuple", msg: "str | None" = None) -> None:
        self._check(isinstance(value, kind), "%r is not a %r", (value, kind), msg)

    def assertLess(self, first: object, second: object, msg: "str | None" = None) -> None:
        self._check(first < second, "%r is not below %r", (first, second), msg)

    def assertGreater(self, first: object, second: object, msg: "str | None" = None) -> None:
        self._check(first > second, "%r is not above %r", (first, second), msg)

    def assertRaises(self, expected: "type | tuple", call: object = None, *args: object) -> "_Raises | None":
        if call is None:
            return _Raises(expected)
        with _Raises(expected):
            call(*args)
        return None


def run_module(module: object, wanted: "list[str]") -> "tuple[int, int]":
    """Run each test of each TestCase in ``module`` whose full name holds a word of ``wanted`` (none: all).

    Prints one line and the traceback for a failure; returns (passed, failed).
    """
    passed = failed = 0
    for class_name in sorted(dir(module)):
        case_class = getattr(module, class_name)
        if not isinstance(case_class, type) or not issubclass(case_class, TestCase):
            continue
        for test_name in sorted(dir(case_class())):
            if not test_name.startswith("test"):
                continue
            full_name = "%s.%s.%s" % (module.__name__, class_name, test_name)
            if wanted and not any(word in full_name for word in wanted):
                continue
            if _run_test(case_class(), test_name, full_name):
                passed += 1
            else:
                failed += 1
    return passed, failed


def _run_test(case: TestCase, test_name: str, full_name: str) -> bool:
    try:
        case.setUp()
        try:
            getattr(case, test_name)()
        finally:
            case.tearDown()
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # noqa: BLE001 - whatever a test raises is its failure
        print("FAILED " + full_name)
        print_exception(error)
        return False
    return True


def print_exception(error: BaseException) -> None:
    """The traceback, on either interpreter."""
    if hasattr(sys, "print_exception"):
        sys.print_exception(error)
        return
    from traceback import print_exception as print_on_cpython  # not there on MicroPython

    print_on_cpython(error, file=sys.stdout)
