"""The faults: each a small change of the source that breaks a law, and the sentence that says how.

``faults`` is the kind of program that should meet it first; the hunt goes on with all others, and with all cuts.
"""


class Mutant:
    """``old`` stands exactly once in ``file`` and becomes ``new``."""

    def __init__(self, name: str, law: int, file: str, old: str, new: str, faults: str, sentence: str) -> None:
        self.name = name
        self.law = law
        self.file = file
        self.old = old
        self.new = new
        self.faults = faults
        self.sentence = sentence


_HERE = "crash disk link broker"
_SAVE = "            self.delivery.save()\n        except OSError as failure:\n            self._disk_failed"
_WATCH = 'self._end(now_ms, "no acknowledgement for %d ms" % self._ack_timeout_ms)'

MUTANTS = (
    # 1. The wire never runs ahead of the storage.
    Mutant("no-sync", 1, "journal.py", "            self._store.sync(name)\n", "", "",
           "A group counts as stored when it was only written."),
    Mutant("sync-new-only", 1, "journal.py", "            self._store.sync(name)\n",
           "            if name != active:\n                self._store.sync(name)\n", "",
           "A segment is synced when it is made, and not when it grows."),
    Mutant("commit-failed", 1, "spool.py", "        if group.stored:\n", "        if True:\n", "disk",
           "A group whose write failed is committed all the same."),
    Mutant("direct-early", 1, "direct.py", "            spool.journal.write(content, seq, rest)\n",
           "            spool.journal.commit(seq + 1)\n            spool.journal.write(content, seq, rest)\n", "disk",
           "A message that is stored at once counts before it is written."),
    Mutant("direct-told", 1, "direct.py", "            raise error from None\n", "            pass\n", "disk",
           "A message that could not be stored at once is accepted all the same."),
    # The exception to 1 and 3, for messages that wait in RAM (durability "spill").
    Mutant("spill-unreserved", 1, "spill_store.py",
           "            self._store.replace(NAMES[generation & 1], state.encode())\n", "            pass\n",
           "spill crash", "Messages go out of RAM, and storage does not say that their numbers are used up."),
    Mutant("spill-resumes", 4, "spill_store.py", "        state.session_known = False\n", "", "spill crash link",
           "After a power cut the session is resumed in which messages of RAM were under way."),
    Mutant("spill-early", 1, "spill_store.py", "        return self.is_entering and self.holds(seq)\n",
           "        return False\n", "spill", "What is in RAM goes out while storage still gives its numbers again."),
    Mutant("spill-unsettled", 2, "spill.py", "if not 0 < store.first_seq <= delivery.cursor() or",
           "if not store.first_seq or", "spill crash link", "RAM is entered while stored messages are under way."),
    Mutant("spill-block-once", 4, "spill_store.py",
           "                    if unpack_from(\"<Q\", view, SENT_BOUND_AT)[0] > self._reserved_end:\n",
           "                    if not self._reserved_end:\n", "spill crash",
           "More numbers are used in RAM than storage says."),
    Mutant("spill-checkpoint-only", 2, "spill_store.py", "            self._write(name, self._files[name])\n",
           "            pass\n", "spill link", "Leaving RAM, the files in it are forgotten."),
    Mutant("spill-unsynced", 1, "spill_store.py",
           "        self._store.sync(name)\n        file.stored = file.bytes\n", "        file.stored = file.bytes\n",
           "spill crash link", "Leaving RAM, the files are written and not synced."),
    Mutant("spill-no-checkpoint", 2, "spill_store.py", "            self._store.replace(newest, self._slots[newest])\n",
           "            pass\n", "spill crash link", "Leaving RAM, storage still says that its numbers are used up."),
    Mutant("spill-never", 2, "spill.py", "        if not is_healthy or self.wanted:\n", "        if self.wanted:\n",
           "spill link", "A link that breaks leaves in RAM what waits there."),
    Mutant("spill-late", 2, "spill.py", "is_up and waits_ms < self._after_ms and", "is_up and", "spill broker link",
           "An acknowledgement that is late leaves in RAM what waits there."),
    Mutant("spill-unbounded", 2, "spill_store.py", "self.ram_bytes + count <= self.spill_bytes",
           "self.ram_bytes <= self.spill_bytes", "spill link", "More waits in RAM than spill_bytes."),
    Mutant("spill-one-slot", 4, "spill_store.py", "for generation in (state.generation, state.generation - 1):",
           "for generation in (state.generation,):", "spill slots",
           "One damaged checkpoint brings back the truth from before RAM was entered."),
    Mutant("spill-stale-slot", 2, "spill_store.py",
           "            in_both = self._replace_other(NAMES[1 - NAMES.index(newest)])\n", "", "spill slots link",
           "One damaged checkpoint makes what was in RAM and was written used up again."),
    # 2. Every accepted message ends in exactly one account.
    Mutant("qos1-behind-unreleased", 2, "delivery.py", "                if qos and unreleased >= unreleased_max:",
           "                if qos == 2 and unreleased >= unreleased_max:", "kinds",
           "QoS 1 goes out while as many of QoS 2 are unreleased as Mosquitto holds: it answers, and throws it away."),
    Mutant("refused-uncounted", 2, "delivery.py", "                self.checkpoint.refused += 1\n", "", "refuse",
           "A parked message is in no account."),
    Mutant("accounts-swapped", 2, "checkpoint.py", "            self.refused,\n            self.damaged,\n",
           "            self.damaged,\n            self.refused,\n", "refuse crash",
           "After a restart two accounts have each other's count."),
    Mutant("skipped-is-lost", 2, "delivery.py", "        lost = unsettled + beyond - skipped  #",
           "        lost, skipped = unsettled + beyond, 0  #", "disk",
           "Numbers that were never given to a message count as damaged ones."),
    Mutant("counted-twice", 2, "delivery.py", "                        self._received.pop()\n",
           "                        self._received.pop()\n"
           "                    self.checkpoint.delivered += new == RECEIVED\n",
           "",
           "PUBREC already counts as delivered, and PUBCOMP again."),
    Mutant("letter-unwritten", 2, "delivery.py",
           "                park(self._store, record, self.checkpoint.cache_id, reason)\n", "", "refuse",
           "A refused message is counted, and parked nowhere."),
    Mutant("evicted-skipped", 2, "eviction.py",
           "            state.evicted += sum([stop - begin for begin, stop in evicted])\n",
           "            state.evicted += end - max(first, evicted[0][0])\n", "disk full",
           "Numbers that were skipped among evicted ones count as messages."),
    Mutant("expired-uncounted", 2, "delivery.py", "        self.checkpoint.expired += 1\n", "", "expiry",
           "A message that was too old is in no account."),
    Mutant("expired-early", 2, "record.py", "            return max(0, unix_ms - accepted_ms)\n",
           "            return unix_ms - accepted_ms + 1500\n", "expiry",
           "Messages are thrown away before their time."),
    # 3. PUBREC is on storage before its PUBREL is sent.
    Mutant("pubrel-at-once", 3, "delivery.py", "                        self._received.pop()\n",
           "                        self._received.pop()\n                    self.window.move(seq, STORED)\n"
           "                    self._release.append(seq)\n", "",
           "PUBREL answers PUBREC at once, as most clients do."),
    Mutant("received-unsaved", 3, "window.py", "    PLACE_RELEASED, PLACE_RELEASED, PLACE_RELEASED,",
           "    PLACE_WAITING, PLACE_RELEASED, PLACE_RELEASED,", "",
           "The checkpoint is written, and does not say which PUBRECs came."),
    Mutant("released-forgotten", 3, "window.py", "_FROM_PLACE = bytes((WAITING, DONE, RELEASED, ORPHAN))",
           "_FROM_PLACE = bytes((WAITING, DONE, WAITING, ORPHAN))", "crash",
           "A restart reads which PUBRECs came, and publishes again."),
    # 4. The packet identifier is a function of the sequence number; no number is given twice.
    Mutant("identifier-short", 4, "delivery.py", "                    identifier = id_first + seq % id_span\n",
           "                    identifier = id_first + seq % 50\n", "",
           "Identifiers are used again after 50 messages."),
    Mutant("lanes-meet", 4, "engine.py", "listener, PACKET_ID_AHEAD, PACKET", "listener, 1, PACKET", "lanes",
           "Both lanes have the same identifiers."),
    Mutant("bound-ignored", 4, "delivery.py", "                if seq >= self._sent_bound:\n",
           "                if seq < 0:\n", "crash", "Numbers go out beyond the bound that a restart will believe in."),
    Mutant("direct-again", 4, "journal.py", "                    if size == self._bytes:\n",
           "                    if size >= self._bytes:\n", "disk crash",
           "The number of a message that was written in part is given again, behind that part."),
    Mutant("number-again", 4, "recovery.py", "    if target <= found.end_seq:\n", "    if target >= 0:\n",
           "damage", "The number of a record that was sent and is damaged is given to the next message."),
    Mutant("litter-again", 4, "recovery.py", "        target = _end_of_quarantined(store, found)\n",
           "        target = 0\n", "damage", "The numbers of a segment of which nothing reads are given again."),
    # 5. Nothing is deleted before the acknowledgement that frees it is on storage.
    Mutant("reclaim-early", 5, "engine.py", _SAVE,
           "            self.delivery.reader.reclaim(self.delivery.window.cursor)\n" + _SAVE, "",
           "Segments are removed first, then the checkpoint that frees them is written."),
    Mutant("reclaim-one-more", 5, "journal.py", "next_first <= durable_cursor or",
           "next_first <= durable_cursor + 1 or", "", "A segment goes with its last message still to come."),
    Mutant("evicted-unsaved", 5, "delivery.py",
           "            self._save()  # without parking what was refused: there may be no room for that\n",
           "            pass\n", "crash full", "Evicted files go before the range that says so is on storage."),
    Mutant("evicted-in-flight", 9, "eviction.py", "        first = max(touched, sent_end)\n",
           "        first = max(state.cursor, state.evicted_end)\n", "full link",
           "Messages that are in flight are evicted."),
    Mutant("ahead-takes-all", 9, "lanes.py", "        self._before.limit_qos2 = max(1, half)\n", "", "kinds link lanes",
           "Both lanes together leave more unreleased than the broker keeps."),
    # 6. It always starts, and keeps what is whole.
    Mutant("slot-must-read", 6, "checkpoint.py", "            doubtful = True\n",
           "            raise ValueError(name)\n", "damage", "A damaged checkpoint is the end."),
    Mutant("crc-unchecked", 6, "record.py", "        return crc == self._crc\n", "        return crc != 0\n", "damage",
           "Damaged bytes are delivered."),
    Mutant("stop-at-damage", 6, "segment.py", "            offset = self._next_frame(offset)\n",
           "            offset = -1\n", "damage", "What stands behind a damaged frame is not looked for."),
    Mutant("foreign-removed", 6, "recovery.py",
           "        if number != cache_id or first_seq in taken:\n            quarantine(store, name)\n",
           "        if number != cache_id or first_seq in taken:\n            store.remove(name)\n", "damage",
           "A segment of another cache is deleted."),
    Mutant("damage-removed", 6, "journal.py",
           '            if name.endswith(".bad") or first_seq in self._noted:\n', "            if False:\n",
           "damage",
           "A segment with damaged bytes is deleted like any other."),
    Mutant("one-slot", 6, "checkpoint.py", "store.replace(NAMES[state.generation & 1]", "store.replace(NAMES[0]",
           "crash", "The one whole checkpoint is written over: power may fail just then."),
    # 7. Memory and start-up are bounded.
    Mutant("read-all", 7, "recovery.py", "    found = Recovered(state)\n",
           "    for each in segments:\n        _last(store, [each], state.cache_id, read_bytes)\n"
           "    found = Recovered(state)\n", "crash",
           "A start reads every record there is."),
    Mutant("window-wide", 7, "window.py", "        return seq < self.cursor + self.span\n",
           "        return seq < self.cursor + self.span + 1\n", "", "More is in flight than the window has places."),
    # 8. Only the core decides to send again; a transport is a pipe.
    Mutant("short-send", 8, "engine.py", "            self._out_at += taken\n",
           "            self._out_at = len(self._out)\n", "link", "A send that took a part counts as all."),
    Mutant("whole-again", 8, "engine.py", "memoryview(self._out)[self._out_at :]", "memoryview(self._out)", "link",
           "A send that took a part is begun again from the front."),
    Mutant("half-packet", 8, "engine.py", " if self._out_at else self._out\n",
           " if self._out_at else memoryview(self._out)[:9]\n", "", "The transport is given half a packet."),
    # 9. Inside one connection nothing is sent twice, and after it in the original order.
    Mutant("repeat-inside", 9, "engine.py", _WATCH, "self.delivery.end_connection()", "broker",
           "An acknowledgement that does not come is answered by sending again, in the same connection."),
    Mutant("walk-goes-on", 9, "delivery.py",
           "        self.window.move_all(LOSE)\n        self._next = self.window.cursor\n",
           "        self.window.move_all(LOSE)\n", "link", "After a reconnect the walk goes on where it was."),
    Mutant("no-dup", 9, "delivery.py", "qos > 0 and seq < self._dup_end", "False", "link",
           "A message is sent again without DUP."),
    Mutant("pubrel-reversed", 9, "delivery.py", "            for seq in self._release:\n",
           "            for seq in reversed(self._release):\n", "", "PUBRELs go out in the wrong order."),
    Mutant("receive-maximum", 9, "engine.py", "limit = min(limit, self._transport.receive_maximum)",
           "limit = min(limit, 65535)", "", "More is in flight than the broker announced."),
    Mutant("window-qos2", 9, "delivery.py", "unreleased_max = min(self.limit_qos2, in_flight_max)",
           "unreleased_max = in_flight_max", "kinds", "More QoS 2 messages are unreleased than Mosquitto bears."),
    Mutant("session-believed", 9, "engine.py", "        if known and transport.session_present:\n",
           "        if known:\n", "broker", "That the broker lost the session is not noticed."),
    # 10. A receiver knows a message by its number, and what was given up is not missed.
    Mutant("given-up-forgotten", 10, "identity.py", "        kept = self._ranges[-UNTOLD_KEPT_MAX:]\n",
           "        kept: list[list[int]] = []\n", "identity expiry crash link",
           "Which numbers were given up is not in the checkpoint."),
    Mutant("told-too-soon", 10, "identity.py", "            if counts and not teller:\n",
           "            if not teller:\n", "identity refuse crash link",
           "A repeated message counts as one that told, although the broker holds what it said the first time."),
    Mutant("teller-given-up", 10, "identity.py",
           "                each[2] = 0  # what was to tell of it does not come\n", "                pass\n",
           "identity refuse crash link broker",
           "What a message was to tell is never told when that is given up itself."),
)  # fmt: skip
