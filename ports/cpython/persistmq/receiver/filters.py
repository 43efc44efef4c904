"""What a topic filter may be (4.7, 4.8.2). A broker ends the connection over one that is none, and says little."""

from persistmq_core.spool import check_topic

_SHARED = "$share"


def check_filter(topic_filter: object) -> None:
    """Raises ValueError or TypeError that names the filter."""
    if not isinstance(topic_filter, str):
        raise TypeError("a topic filter is a string, not %r" % (topic_filter,))
    if not topic_filter:
        raise ValueError("a topic filter is empty")
    try:
        check_topic(topic_filter.replace("+", "x").replace("#", "x"))
    except ValueError as error:
        raise ValueError("the topic filter %.100r: %s" % (topic_filter, error)) from None
    levels = topic_filter.split("/")
    if levels[0] == _SHARED:
        if len(levels) < 3 or not levels[1] or levels[2:] == [""] or set(levels[1]) & set("+#"):
            raise ValueError("the topic filter %r must have a group and a filter: $share/GROUP/FILTER" % topic_filter)
        levels = levels[2:]
    for index, level in enumerate(levels):
        if "#" in level and (level != "#" or index < len(levels) - 1):
            raise ValueError("the topic filter %r has a # that is not its last level alone" % topic_filter)
        if "+" in level and level != "+":
            raise ValueError("the topic filter %r has a + that is not a level alone" % topic_filter)
