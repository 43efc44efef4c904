"""persistmq-receive: subscribe, and write each message once; or say what of a publisher's messages is missing."""

import json
import logging
import signal
import sys
import time
from typing import Any

import click
import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from persistmq_core.errors import PersistError

from .filters import check_filter
from .ledger import Ledger
from .output import Output
from .receiver import Receiver, describe
from .state import read_ledger
from .subscriber import Subscriber

_JSONL = "jsonl:"
_MISSING = 3  # exit status of --status
_VERSIONS = {"311": MQTTProtocolVersion.MQTTv311, "5": MQTTProtocolVersion.MQTTv5}


@click.command(context_settings={"help_option_names": ["--help"]})
@click.option("-h", "--host", default="localhost", show_default=True, help="The broker.")
@click.option("-p", "--port", type=click.IntRange(1, 65535), help="1883, with TLS 8883.")
@click.option("-t", "--topic", "topics", multiple=True, help="Topic filter; may be given again.  [default: #]")
@click.option("-U", "--unsubscribe", multiple=True,
              help="End a subscription of an earlier run, which the broker has kept; may be given again.")
@click.option("-i", "--client-id", default="persistmq-receive", show_default=True,
              help="The broker keeps what comes meanwhile under this name: keep it, and use it once.")
@click.option("-u", "--username", help="")
@click.option("-P", "--password", envvar="PERSISTMQ_PASSWORD", help="Or in the environment: PERSISTMQ_PASSWORD.")
@click.option("--tls", is_flag=True, help="Encrypt, and check the broker's certificate with the system's authorities.")
@click.option("--cafile", type=click.Path(exists=True), help="Authorities to check it with instead; implies --tls.")
@click.option("--cert", type=click.Path(exists=True), help="The client's certificate.")
@click.option("--key", type=click.Path(exists=True), help="The client's key.")
@click.option("--insecure", is_flag=True, help="Do not compare the name in the broker's certificate.")
@click.option("-V", "--protocol-version", type=click.Choice(list(_VERSIONS)), default="5", show_default=True,
              help="With 311 identity arrives in bundles only.")
@click.option("-k", "--keepalive", type=click.IntRange(0, 65535), default=60, show_default=True, help="Seconds.")
@click.option("-o", "--output", "output_url", required=True, metavar="OUTPUT",
              help="jsonl:FILE, sqlite:///FILE or postgresql://USER@HOST/DATABASE")
@click.option("--table", default="messages", show_default=True,
              help="Of the database. Names that begin with persistmq_ are the receiver's.")
@click.option("--state", type=click.Path(file_okay=False),
              help="With jsonl: the directory for what was written.  [default: FILE.state]")
@click.option("--bulk-topic", default="mixed/bulk", show_default=True,
              help="bulk_topic_rewrite of publishers that bundle in the form of persistmq 0.1.4.")
@click.option("--from-first", is_flag=True,
              help="This receiver is there before the publishers: what lies before the first message is missing, too.")
@click.option("--status", is_flag=True, help="Only say how complete it is. Exit status 3: something is missing.")
@click.option("--json", "as_json", is_flag=True, help="With --status: for programs.")
@click.option("-v", "--verbose", is_flag=True, help="")
def command(output_url: str, table: str, state: str | None, status: bool, as_json: bool, **options: Any) -> None:
    """Receive messages of MQTT publishers, drop what comes twice, and write each once to OUTPUT.

    Ends with SIGTERM or SIGINT. What the broker sends again after a crash is known by its identity, so publishers have
    to send one (identity=True, or bundles of the form "persistmq").
    """
    level = logging.DEBUG if options.pop("verbose") else logging.INFO
    logging.basicConfig(level=level, format="%(asctime)s %(levelname)s %(message)s", stream=sys.stderr)
    if as_json and not status:
        raise click.UsageError("--json needs --status: else it does nothing")
    if state is not None and not output_url.startswith(_JSONL):
        raise click.UsageError("--state needs -o jsonl:FILE: a database has tables for what was written")
    try:
        if status:
            sys.exit(show(ledger_of(output_url, state), as_json))
        for topic_filter in (*options["topics"], *options["unsubscribe"]):
            check_filter(topic_filter)  # before anything is made
        output = output_of(output_url, table, state, options.pop("from_first"))
        try:
            with Receiver(output, bulk_topic_rewrite=options.pop("bulk_topic")) as receiver:
                receive(receiver, **options)
        finally:
            output.close()
    except (PersistError, OSError, ValueError) as error:
        raise click.ClickException(str(error)) from error


def receive(receiver: Receiver, topics: tuple[str, ...], host: str, port: int | None, **options: Any) -> None:
    """Until a signal comes."""
    client = paho.Client(
        CallbackAPIVersion.VERSION2,
        options["client_id"],
        protocol=_VERSIONS[options["protocol_version"]],
        clean_session=None if options["protocol_version"] == "5" else False,
    )
    if options["username"] is not None:
        client.username_pw_set(options["username"], options["password"])
    is_secure = options["tls"] or options["cafile"] is not None
    if is_secure:
        client.tls_set(options["cafile"], options["cert"], options["key"])
        client.tls_insecure_set(options["insecure"])
    subscriber = Subscriber(receiver, topics or ("#",), client, unsubscribe=options["unsubscribe"])
    subscriber.connect(host, port or (8883 if is_secure else 1883), options["keepalive"])
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: subscriber.stop())
    subscriber.run()
    counts = {name: count for name, count in receiver.status().items() if name != "streams"}
    logging.getLogger("persistmq.receiver").info("%s", ", ".join(f"{name} {count}" for name, count in counts.items()))


def output_of(url: str, table: str, state: str | None, from_first: bool) -> Output:
    """Raises ValueError, OutputError, CacheInUse or OSError."""
    if url.startswith(_JSONL):
        from .jsonl import JsonLines  # noqa: PLC0415 - one of them is needed

        path = url[len(_JSONL) :]
        return JsonLines(path, state or path + ".state", from_first)
    if "://" not in url:
        raise ValueError("the output is jsonl:FILE, or the URL of a database, not %r" % url)
    return _database().Database(url, table, from_first)  # type: ignore[no-any-return]


def ledger_of(url: str, state: str | None) -> Ledger:
    """What was written there. Raises as ``output_of``."""
    if url.startswith(_JSONL):
        return read_ledger(state or url[len(_JSONL) :] + ".state")
    return _database().read_ledger(url)  # type: ignore[no-any-return]


def _database() -> Any:
    try:
        from . import database  # noqa: PLC0415 - only for a database
    except ImportError as error:
        raise ValueError("%s: pip install persistmq[receiver]" % error) from error
    return database


def show(ledger: Ledger, as_json: bool) -> int:
    """Print how complete each stream is; the exit status."""
    streams = [describe(key, stream) for key, stream in sorted(ledger.streams.items())]
    if as_json:
        click.echo(json.dumps(streams, indent=2))
    elif not streams:
        click.echo("no message with identity has come yet")
    for stream in streams if not as_json else ():
        click.echo("%(client)s, epoch %(epoch)08x: %(received)d received, %(repeated)d came again" % stream)
        when = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(stream["last_ms"] / 1000))
        click.echo("  from %d to %d, the last one on %s" % (stream["first"], stream["highest"], when))
        if stream["given_up"]:
            click.echo("  %d were given up by the publisher" % stream["given_up"])
        if stream["missing"]:
            gaps = ", ".join("%d" % a if a == b else "%d-%d" % (a, b) for a, b in stream["gaps"])
            click.echo("  complete up to %d; %d MISSING: %s" % (stream["complete_to"], stream["missing"], gaps))
        else:
            click.echo("  complete")
    return _MISSING if any(stream["missing"] for stream in streams) else 0
