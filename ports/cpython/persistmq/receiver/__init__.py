"""The receiving end: what comes twice is dropped, bundles are taken apart, what is missing is named.

    from persistmq.receiver import Receiver, Subscriber

    receiver = Receiver("/var/lib/plant/receiver")
    subscriber = Subscriber(receiver, "plant/#", "historian", on_message=print)
    subscriber.connect("broker.example")
    subscriber.run()

Needs publishers with ``identity=True``, or bundles in the form "persistmq". ``docs/receiver.md`` has the rest.
"""

from .identities import Identity
from .output import Output, OutputError, Received, Superseded
from .receiver import Receiver
from .subscriber import Subscriber

__all__ = ["Identity", "Output", "OutputError", "Received", "Receiver", "Subscriber", "Superseded"]
