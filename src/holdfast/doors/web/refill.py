"""A form that was refused is shown again: what was typed is still there, and what is wrong stands at its field.

It works on the finished screen, so that every form of the page has it, with scripts or without, and no form knows of it.
"""

from collections import Counter
from collections.abc import Iterable
from html import escape
from html.parser import HTMLParser
from urllib.parse import unquote

CAME_FROM = "form_from"
"""The screen that a form is on, where its address is not that of the screen."""
WAS = "was"
"""How the name of a hidden field ends that has what the others showed. It belongs to what was typed: with that of now, a field that was not touched, and
that another has changed since, would count as changed back.
"""
_KEPT = frozenset(("hidden", "submit", "button", "reset", "image", "file", "password"))
_TICKED = frozenset(("checkbox", "radio"))
Attrs = list[tuple[str, str | None]]


def refilled(html: str, action: str, typed: Iterable[tuple[str, str]], field: str, said: str, screen: str) -> str | None:
    """The screen with the form of this action as it was sent, and `said` at the field, or before all fields where it has no such one; None where it
    is not the one form with this action.
    """
    again = _Refill(action, typed, field, said, screen)
    again.feed(html)
    again.close()
    return again.whole()


class _Refill(HTMLParser):
    def __init__(self, action: str, typed: Iterable[tuple[str, str]], field: str, said: str, screen: str) -> None:
        super().__init__(convert_charrefs=False)
        self._action = unquote(action)
        self._typed: dict[str, list[str]] = {}
        for name, value in typed:
            self._typed.setdefault(name, []).append(value)
        self._filled: Counter[str] = Counter()  # how many fields of a name
        self._names = {field, field.rpartition(".")[2], f"{field}_ms"} - {""}
        self._said = said
        self._screen = screen
        self._out: list[str] = []
        self._forms = 0
        self._within = False
        self._top = 0
        self._is_told = False
        self._control = ""  # the name of the textarea or select that it is in
        self._is_replaced = False  # the text of a textarea: it was written already
        self._option: Attrs | None = None
        self._words = ""  # of an option

    def whole(self) -> str | None:
        if self._forms != 1:
            return None
        if not self._is_told:
            self._out[self._top] += f'<p class="notice bad whole" role="alert"><bdi>{escape(self._said)}</bdi></p>'
        return "".join(self._out)

    def handle_starttag(self, tag: str, attrs: Attrs) -> None:
        given = dict(attrs)
        raw = self.get_starttag_text() or ""
        if tag == "form":
            self._within = unquote(given.get("action") or "") == self._action and (given.get("method") or "").lower() == "post"
            self._forms += self._within
            self._out.append(raw)
            if self._within:
                self._top = len(self._out) - 1
                self._out.append(f'<input type="hidden" name="{CAME_FROM}" value="{escape(self._screen)}">')
            return
        if not self._within:
            self._out.append(raw.replace(" data-live", "", 1) if "data-live" in given else raw)
            return
        name = given.get("name") or ""
        if tag == "input":
            self._input(name, attrs, given, raw)
        elif tag == "textarea":
            self._out.append(_tag(tag, attrs + self._marks(name)))
            self._control, self._is_replaced = name, name in self._typed
            if self._is_replaced:
                self._out.append("\n" + escape(self._typed[name][-1]))
        elif tag == "select":
            self._out.append(_tag(tag, attrs + self._marks(name)))
            self._control = name
        elif tag == "option" and self._control in self._typed:
            self._option, self._words = [pair for pair in attrs if pair[0] != "selected"], ""
        else:
            self._out.append(raw)

    def _input(self, name: str, attrs: Attrs, given: dict[str, str | None], raw: str) -> None:
        kind = (given.get("type") or "text").lower()
        is_shown = name.endswith(WAS) and name not in self._names
        if (kind in _KEPT and not is_shown) or not name:
            self._out.append(raw)
            return
        values = self._typed.get(name)
        if kind in _TICKED:
            attrs = [pair for pair in attrs if pair[0] != "checked"]
            if values is not None and (given.get("value") or "on") in values:
                attrs.append(("checked", None))
        elif values is not None:
            place = self._filled[name]
            self._filled[name] += 1
            attrs = [pair for pair in attrs if pair[0] != "value"] + [("value", values[place] if place < len(values) else "")]
        self._out.append(_tag("input", attrs + self._marks(name)))
        self._tell(name)

    def _marks(self, name: str) -> Attrs:
        if name not in self._names or self._is_told:
            return []
        return [("aria-invalid", "true"), ("aria-describedby", f"wrong-{name}"), ("autofocus", None)]

    def _tell(self, name: str) -> None:
        if name in self._names and not self._is_told:
            self._is_told = True
            self._out.append(
                f'<small class="wrong" id="wrong-{escape(name)}" role="alert"><bdi>{escape(self._said)}</bdi></small>'
            )

    def handle_endtag(self, tag: str) -> None:
        if self._option is not None and tag in ("option", "select"):
            self._end_option(self._option)
        self._is_replaced = False
        self._out.append(f"</{tag}>")
        if self._within and tag in ("textarea", "select"):
            self._tell(self._control)
            self._control = ""
        elif tag == "form":
            self._within = False

    def _end_option(self, attrs: Attrs) -> None:
        value = dict(attrs).get("value")
        chosen = self._typed[self._control][-1] == (self._words.strip() if value is None else value)
        self._out.append(_tag("option", attrs + ([("selected", None)] if chosen else [])) + self._words)
        self._option = None

    def handle_startendtag(self, tag: str, attrs: Attrs) -> None:  # noqa: ARG002  (of the parser)
        self._out.append(self.get_starttag_text() or "")

    def handle_data(self, data: str) -> None:
        if self._option is not None:
            self._words += data
        elif not self._is_replaced:
            self._out.append(data)

    def handle_entityref(self, name: str) -> None:
        self.handle_data(f"&{name};")

    def handle_charref(self, name: str) -> None:
        self.handle_data(f"&#{name};")

    def handle_comment(self, data: str) -> None:
        self._out.append(f"<!--{data}-->")

    def handle_decl(self, decl: str) -> None:
        self._out.append(f"<!{decl}>")


def _tag(tag: str, attrs: Attrs) -> str:
    written = [f" {name}" if value is None else f' {name}="{escape(value)}"' for name, value in attrs]
    return f"<{tag}{''.join(written)}>"
