"""Elements and attributes by their local names, whatever their namespace."""

from xml.etree.ElementTree import Element


def local(element: Element) -> str:
    """Return the name of an element without its namespace."""
    return element.tag.rpartition("}")[2]


def attribute(element: Element, name: str) -> str:
    """Return the value of the first attribute of that local name; empty without one."""
    return next((value for key, value in element.attrib.items() if key.rpartition("}")[2] == name), "")


def children(element: Element, name: str) -> list[Element]:
    """Return the children of that name."""
    return [each for each in element if local(each) == name]


def child(element: Element | None, name: str) -> Element | None:
    """Return the first child of that name; None without one."""
    return None if element is None else next(iter(children(element, name)), None)
