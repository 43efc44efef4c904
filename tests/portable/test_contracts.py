"""What a port must bring, and the errors an application may see."""

import unittest

from persistmq_core import contracts, errors


class ContractTest(unittest.TestCase):
    def test_a_port_that_leaves_a_call_out_is_told_so(self):
        store = contracts.Store()
        transport = contracts.Transport()
        for call, arguments in (
            (store.list, ("journal",)),
            (store.size, ("x",)),
            (store.read, ("x", 0, memoryview(b""))),
            (store.append, ("x", b"")),
            (store.sync, ("x",)),
            (store.replace, ("x", b"")),
            (store.move, ("x", "y")),
            (store.remove, ("x",)),
            (store.free_bytes, ()),
            (transport.open, (False,)),
            (transport.state, ()),
            (transport.send, (memoryview(b""),)),
            (transport.receive, ()),
            (transport.close, ()),
            (contracts.Random().below, (2,)),
            (contracts.Compressor().compress, (b"",)),
        ):
            self.assertRaises(NotImplementedError, call, *arguments)

    def test_a_transport_begins_down_with_the_defaults_of_the_standard(self):
        transport = contracts.Transport()
        self.assertEqual((transport.receive_maximum, transport.qos_max, transport.retain_available), (65535, 2, True))
        self.assertEqual((transport.refused, transport.dropped, transport.reason_code), (False, False, 0))

    def test_a_listener_need_not_listen(self):
        listener = contracts.Listener()
        listener.delivered(1)
        listener.dropped(1, "refused", 0x87)
        listener.connected(False)
        listener.disconnected("closed")


class ErrorTest(unittest.TestCase):
    def test_who_must_act_can_be_told_by_the_class(self):
        self.assertTrue(issubclass(errors.StoreError, OSError))
        for error in (errors.FormatError, errors.ClientStopped, errors.MessageDropped, errors.ProtocolError):
            self.assertTrue(issubclass(error, errors.PersistError))

    def test_a_dropped_message_says_which_and_why(self):
        error = errors.MessageDropped(7, "refused", "not authorized (0x87)")
        self.assertEqual((error.seq, error.account), (7, "refused"))
        self.assertEqual(str(error), "message 7 was refused: not authorized (0x87)")
