"""Which of a file's nets is meant: by its prefix, and by its direction where there are two."""

from __future__ import annotations

from collections.abc import Sequence

from rnngrad.errors import did_you_mean
from rnngrad.files.models.gates import merged, stack_of
from rnngrad.files.models.records import BOTH, Contents, Found, ModelFileError
from rnngrad.files.text import cut, several, shown

WRAPPERS = ("module", "_orig_mod", "model", "state_dict", "_forward_module", "_fsdp_wrapped_module")
"""What DataParallel, torch.compile, Lightning, accelerate and FSDP put into keys."""

DIRECTIONS = ("forward", "reverse", BOTH)


def choose(
    contents: Contents,
    prefix: str | Sequence[str] | None = None,
    direction: str | None = None,
    ask: str = "prefix",
) -> Found:
    """The net that ``prefix`` names, or the only one; several prefixes name a stack, lowest first.
    Of a bidirectional one both directions, unless ``direction`` is that of a half.

    Raises ModelFileError that lists what there is, and asks for ``ask``, or says why it cannot be
    used.
    """
    if direction is not None and direction not in DIRECTIONS:
        words = f"direction is {shown(direction)}, must be forward, reverse or both"
        raise ModelFileError(f"{words}{did_you_mean(direction, DIRECTIONS)}")
    if prefix is None or isinstance(prefix, str):
        return _one(contents, prefix, direction, ask)
    if not prefix:
        raise ModelFileError(f"{contents.name}: prefix is an empty list, must name layers")
    nets = [_one(contents, each, direction, ask) for each in prefix]
    return nets[0] if len(nets) == 1 else stack_of(contents.name, nets)


def _one(contents: Contents, prefix: str | None, direction: str | None, ask: str) -> Found:
    fitting = list(contents.recurrent) if prefix is None else _named(contents, prefix)
    if prefix is None:
        _refuse_a_part(contents, fitting)
    if not fitting:
        raise ModelFileError(f"{contents.name}{_why_none(contents, prefix)}")
    keys = {net.key for net in fitting}
    if len(keys) > 1:
        words = f"holds {len(keys)} recurrent nets, give {ask}: one of"
        raise ModelFileError(f"{contents.name} {words} {several(sorted(keys))}")
    return _directed(contents, fitting, direction)


def _refuse_a_part(contents: Contents, nets: list[Found]) -> None:
    """Nobody who names no net means one that is a part of another, which cannot be read."""
    for refused in contents.refused:
        if nets and all(net.key.startswith(refused.key) for net in nets):
            inside = f"; what can be read is inside it: {several({net.key for net in nets})}"
            raise ModelFileError(refused.reason + inside)


def _directed(contents: Contents, nets: list[Found], direction: str | None) -> Found:
    place = f"{contents.name}[{cut(nets[0].key, 100)}]" if nets[0].key else contents.name
    if direction in (None, BOTH) and len(nets) > 1:
        return merged(place, nets)
    for net in nets:
        if direction in (None, net.direction or "forward"):
            if net.paired and len(net.layers) > 1:
                words = "each layer reads both directions of the one below, so neither is a net"
                raise ModelFileError(f"{place}: {words}; direction: both takes them together")
            return net
    has = nets[0].direction or "forward"
    raise ModelFileError(f"{place} has no direction {direction}, it runs {has}")


def _named(contents: Contents, prefix: str) -> list[Found]:
    """The nets of a prefix: by key, by another name, or without what wrappers put before it."""
    nets = (*contents.recurrent, *contents.layers)
    exact = [net for net in nets if prefix in (net.key, *net.also)]
    like = exact or [net for net in nets if _bare(prefix) in map(_bare, (net.key, *net.also))]
    return like or [net for net in nets if alike(prefix, net.key)]


def alike(prefix: str, key: str) -> bool:
    """Whether two prefixes are one but for the last dot and what wrappers put between."""
    return _unwrapped(prefix) == _unwrapped(key)


def _bare(name: str) -> str:
    return name.rstrip("./_")


def _unwrapped(name: str) -> str:
    return ".".join(part for part in _bare(name).split(".") if part not in WRAPPERS)


def _why_none(contents: Contents, prefix: str | None) -> str:
    """Why no net is meant: it is refused, it is misspelt, or there is none."""
    for refused in contents.refused:
        if prefix is None or prefix in refused.also or alike(prefix, refused.key):
            return refused.reason.removeprefix(contents.name)  # it names the file and the key
    if not contents.recurrent:
        return _nothing(contents)
    names = [name for net in contents.recurrent[:300] for name in (net.key, *net.also)]
    near = did_you_mean(prefix, names) or did_you_mean(prefix, contents.keys[:1000])
    there = "" if near else f"; there is {several(sorted({net.key for net in contents.recurrent}))}"
    return f" has no recurrent net {shown(prefix)}{near}{there}"


def _nothing(contents: Contents) -> str:
    if not contents.keys:
        return " holds no arrays"
    words = f" holds no recurrent net in the layout {contents.layout}"
    return f"{words}; its keys are {several(contents.keys, 200)}"
