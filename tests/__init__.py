"""The tests, and in ``tests.support`` the fakes that programs on top of PersistMQ can use for their own tests."""
