"""Trees whose nodes know their parents: garbage that only the cycle collector can free. ``size``: nodes of one tree.

``heap``: so many containers live as long as the process, as data of an application do, and make full collections rare.
``recent``: so many trees are kept before they are thrown away; by then only a full collection finds them.
"""

import collections

_data = []
_recent = collections.deque()
_keep = []


class Node:
    """Of a document that was parsed and thrown away."""

    def __init__(self, parent, text):
        self.parent = parent  # <- kept here: the cycle
        self.text = text
        self.children = []  # <- kept here: the children
        if parent is not None:
            parent.children.append(self)  # <- kept here: the list of them


def start(settings):
    _keep[:] = [settings.get("recent", 0)]
    _data.extend({"id": n, "tags": [n]} for n in range(settings.get("heap", 0) // 2))


def use(size, number):
    root = Node(None, f"root {number}")  # <- kept here: the root
    for n in range(size - 1):
        Node(root, f"node {n} of {number}")  # <- kept here: the nodes
    _recent.append(root)
    if len(_recent) > _keep[0]:
        _recent.popleft()
