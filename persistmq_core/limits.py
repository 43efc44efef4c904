"""Every number of the format, the protocol and the defaults, each with its reason."""

def const(value: int) -> int:
    return value


try:
    from micropython import const  # type: ignore[no-redef] # folded into the bytecode there
except ImportError:
    pass  # CPython

# --- MQTT (sections of the 3.1.1 / 5.0 standards) ---
TOPIC_BYTES_MAX = const(65535)  # 1.5.3 / 1.5.4: UTF-8 strings have a 16-bit length
REMAINING_LENGTH_MAX = const(268435455)  # 2.2.3 / 2.1.4: four bytes of seven bits
# Fixed part of a PUBLISH beside topic and payload: topic length 2, identifier 2, MQTT 5 property length 1 and expiry 5.
PUBLISH_OVERHEAD_BYTES = const(10)

# --- sequence numbers and packet identifiers (law 4) ---
PACKET_ID_SPAN = const(60000)  # 1..60000 are ours
# The lane that goes ahead has identifiers of its own, so that an acknowledgement says which lane it is for.
PACKET_ID_AHEAD = const(60001)
PACKET_ID_AHEAD_SPAN = const(4000)
WINDOW_AHEAD_MAX = const(1000)  # a quarter of it
AHEAD_SEQ = const(1 << 48)  # its number n is AHEAD_SEQ + n to the application
PACKET_ID_FOREIGN = const(64001)  # the first identifier that is not ours: up to 65535 for SUBSCRIBE and the like
SEQ_FIRST = const(1)  # 0 means "none"
# The window is a span of sequence numbers; it must stay far below PACKET_ID_SPAN, so that an identifier
# still in the window can never be met again. A quarter leaves room for skipped numbers.
WINDOW_MAX = const(15000)
# A checkpoint says beyond which number nothing was sent: so many windows ahead, so that acknowledgements that may be
# stored late do not force a save each. What is below may have been in flight when the power failed, and is not evicted.
AHEAD_WINDOWS = const(16)
AHEAD_WINDOWS_BOUNDED = const(2)  # in a cache with bounds
WINDOW_DEFAULT = const(1000)  # QoS 1: fills a link of 400 ms round trip; costs 250 bytes of checkpoint
# QoS 2, PUBLISH sent and PUBREL not yet: Mosquitto's default max_inflight_messages. Above it Mosquitto 2.0
# acknowledges and loses messages (eclipse/mosquitto#3056, #3088).
WINDOW_QOS2_DEFAULT = const(20)

# --- bundles ---
BULK_MSG_COUNT_MAX = const(4000)  # half of the span: one is sent while the next is put together
BULK_SPAN_MAX = const(8000)  # numbers that bundles in flight may have: the window's span then, far below PACKET_ID_SPAN
BULK_BYTES_MAX = const(1 << 16)  # one send
BULK_BYTES_MAX_LEAST = const(256)
BUNDLES_MAX = const(1000)  # in flight: 4 KB of checkpoint
BUNDLES_BYTES_MAX = const(2 + 2 + 256 + 256 + 4 * BUNDLES_MAX)

# --- storage ---
DISK_VERSION = const(1)
SEGMENT_BYTES_MAX = const(1 << 20)  # a start scans one segment: 1 MiB is some 10 ms on a gateway
SEGMENT_BYTES_MIN = const(1 << 10)
SEGMENTS_MIN = const(4)  # that a cache with a bound of bytes has, at least
BATCH_BYTES_MAX = const(1 << 18)  # one group of staged records: bounds the RAM of the publishing side
SPILL_BYTES = const(1 << 20)  # in RAM with durability "spill": some seconds of a busy gateway
SPILL_BYTES_MIN = const(1 << 11)
SPILL_BYTES_MAX = const(1 << 30)
SPILL_SEGMENTS = const(8)  # that many files in RAM, about: one of them is settled in part and yet there
EXPIRED_MAX = const(1000)  # messages at once: then something else may have its turn
SPILL_NUMBERS = const(30000)  # used up by one write of the checkpoint; identifiers come again after twice as many
SURVEYED_MAX = const(64)  # segments that a start looks at, all of them; of more, those at both ends
READ_BYTES = const(1 << 16)  # one read of the journal; 64 KiB keeps a 100 B message below 0.1 syscalls
SEND_BYTES = const(1 << 16)  # one send: about what a socket buffer takes at once
# A longer payload gets a file of its own: a segment's worth, so that a message is not what decides when they roll.
INLINE_BYTES_MAX = const(1 << 20)
PAYLOAD_SYNC_BYTES = const(1 << 22)  # of a payload, between two syncs: 0.4 s of a slow SD card, for who syncs meanwhile

# --- end-to-end identity ---
UNTOLD_KEPT_MAX = const(64)  # ranges of given up numbers in the checkpoint: 1.5 KB of it
UNTOLD_TOLD_MAX = const(64)  # numbers in one message, two for each range: some 500 bytes

# --- time, milliseconds ---
ACK_TIMEOUT_MS = const(30000)  # three lost keep-alives at cellular latency would be longer still
CONNECT_TIMEOUT_MS = const(30000)  # TCP, TLS and CONNACK together, on a 2G link
RECONNECT_DELAY_MS_MIN = const(1000)  # paho's first delay
RECONNECT_DELAY_MS_MAX = const(120000)  # paho's longest delay
# Mosquitto ends the connection with each message that it denies (MQTT 5). That is no trouble of the link's, and a
# backlog of such messages would take a reconnect delay each.
RECONNECT_AFTER_REFUSAL_MS = const(50)
CHECKPOINT_DELAY_MS = const(1000)  # how long an acknowledgement that may be lazy waits to be stored
CLOCK_VALID_MS = const(1 << 40)  # November 2004: a clock that says less was never set
EXPIRES_S_MAX = const(0xFFFFFFFF)  # 5.0, 3.3.2.3.3: four bytes
SPILL_AFTER_MS = const(5000)  # with durability "spill": an acknowledgement later than this is trouble
STORE_RETRY_MS = const(1000)  # after a disk error, before the delivering side tries again

# --- storage that does not read ---
UNREADABLE_PIECE_BYTES = const(512)  # the smallest sector there is: more would give up bytes that can be read
# Reads of one place that fail in a row, a second apart: a loose contact or a bus that is reset comes back sooner.
READS_BEFORE_DAMAGED = const(5)

# --- poison messages ---
DROPS_BEFORE_PROBING = const(3)  # connections lost in a row, with something sent and nothing acknowledged
PROBES_BEFORE_PARKING = const(3)  # and then this often with one message alone in flight
