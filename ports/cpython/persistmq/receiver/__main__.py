"""``python -m persistmq.receiver``, and the command ``persistmq-receive``."""

import sys


def main() -> None:
    """Run the command. It needs the extra ``receiver``."""
    try:
        from .command import command  # noqa: PLC0415 - or there is no telling what is missing
    except ModuleNotFoundError as error:
        if error.name != "click":
            raise
        sys.exit("persistmq-receive needs click: pip install persistmq[receiver]")
    command(prog_name="persistmq-receive")


if __name__ == "__main__":
    main()
