"""When a cron expression fires in a time zone: the next fire after a time, and the number of fires between two. Pure; cronsim
parses the expressions.

The clocks of a zone run evenly between its *changes* (put forward, put back, another offset by law). In between, local time is
UTC plus an offset, so an expression is matched against plain local time; what happens at a change is decided here, and nowhere
else:

    minute or hour begins with `*`    it runs on: it fires at every minute that passes whose local time matches. An hour that is
                                      repeated has its fires twice, one that is left out has none.
    both are fixed, as `30 2 * * *`   it has appointments: each local time fires once. What is repeated fires the first time only;
                                      what is left out fires at the instant at which the clock is put forward, once.

Moments inside this module are whole seconds since 1970, of UTC or of local time; `next_after` and `count` take milliseconds.
"""

from bisect import bisect_left, bisect_right
from copy import copy
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError

_DAY = 86_400
_EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001  (local time of whichever zone)
_FIRST_DAY = _EPOCH.toordinal()
_ZONES = 1_000  # zones, and expressions, that are cached
_YEARS = 80  # zones whose changes are cached: about 200 bytes each
_STEP = 3 * _DAY  # changes of a zone are searched in such steps: since 1970 no two of any zone were closer than six days
_EVERY_DAY = (1 << 366) - 1


class CronUnreadable(Exception):
    """The expression is none."""


class ZoneUnknown(Exception):
    """This machine has no such time zone."""


class NoMoreFires(Exception):
    """There is no next fire: no day matches, or none before the calendar ends with the year 9999."""


def check_zone(name: str) -> None:
    """Raise `ZoneUnknown` unless this machine has the zone."""
    _zone(name)


def next_after(expression: str, zone: str, moment: int) -> int:
    """The first fire after `moment`, in milliseconds. Raises one of the three errors above."""
    cron, place = _read(expression), _zone(zone)
    try:
        return _first(cron, place, moment // 1_000 + 1) * 1_000
    except (StopIteration, OverflowError, ValueError, OSError):
        raise NoMoreFires(f"{expression} has no more fires") from None


def count(expression: str, zone: str, begin: int, end: int) -> int:
    """How many fires there are from `begin` up to `end`, inclusive, in milliseconds. The cost grows with the days, not with the
    fires.
    """
    cron, place = _read(expression), _zone(zone)
    first, last = -(-begin // 1_000), end // 1_000 + 1
    try:
        return 0 if last <= first else _count(cron, place, first, last)
    except (OverflowError, ValueError, OSError):
        raise NoMoreFires(f"{expression} has no more fires") from None


class _Cron:
    """An expression that was read."""

    def __init__(self, expression: str) -> None:
        try:
            self._sim = CronSim(expression, _EPOCH)
        except (CronSimError, ValueError, AssertionError) as error:
            raise CronUnreadable(str(error) or "it is no cron expression") from None
        parts = expression.split()
        self.appointments = not (parts[0].startswith("*") or parts[1].startswith("*"))
        self._times = sorted((hour * 60 + minute) * 60 for hour in self._sim.hours for minute in self._sim.minutes)
        self._daily = parts[2:] == ["*", "*", "*"]
        self._years: dict[int, int] = {}

    def match(self, local: int) -> int:
        """The first match at or after this local time."""
        sim = copy(self._sim)
        sim.dt = _EPOCH + timedelta(seconds=local - 1)
        found = next(sim) - _EPOCH
        return found.days * _DAY + found.seconds

    def between(self, begin: int, end: int) -> int:
        """How many matches there are from one local time up to another, exclusive."""
        if end <= begin:
            return 0
        (first, into), (last, upto) = divmod(begin, _DAY), divmod(end, _DAY)
        found = self._days(first, last) * len(self._times)
        if self._days(first, first + 1):
            found -= bisect_left(self._times, into)
        if upto and self._days(last, last + 1):
            found += bisect_left(self._times, upto)
        return found

    def _days(self, first: int, end: int) -> int:
        """How many days match, from one up to another: days since 1970."""
        found, day, stop = 0, first + _FIRST_DAY, end + _FIRST_DAY
        while day < stop:
            year = date.fromordinal(day).year
            begin = date(year, 1, 1).toordinal()
            upto = min(stop, begin + (366 if year % 4 == 0 and (year % 100 != 0 or year % 400 == 0) else 365))
            found += (self._year(year) >> (day - begin) & ((1 << (upto - day)) - 1)).bit_count()
            day = upto
        return found

    def _year(self, year: int) -> int:
        """The days of a year that match, as bits."""
        if self._daily:
            return _EVERY_DAY
        known = self._years.get(year)
        if known is None:
            known, day, sim = 0, date(year, 1, 1), self._sim
            for bit in range(366):
                if day.month in sim.months and sim.match_day(day):
                    known |= 1 << bit
                if day.month == 12 and day.day == 31:
                    break
                day += timedelta(days=1)
            self._years[year] = known
        return known


class _Zone:
    """A zone with its changes, found year by year: where a few days begin and end with different offsets, there is one between."""

    def __init__(self, name: str) -> None:
        try:
            self._info = ZoneInfo(name)
        except Exception as error:
            raise ZoneUnknown(f"{name[:60]!r} is not a time zone that this machine knows") from error
        self.changes = lru_cache(maxsize=_YEARS)(self._changes)

    def offset(self, second: int) -> int:
        """Seconds that local time is ahead of UTC."""
        ahead = datetime.fromtimestamp(second, self._info).utcoffset()
        assert ahead is not None, "a time with a zone has an offset"
        return ahead.days * _DAY + ahead.seconds

    def change(self, begin: int, end: int) -> int | None:
        """The first change after `begin` and up to `end`."""
        year, last = _year_of(begin), _year_of(end)
        while year <= last:
            changes = self.changes(year)
            at = bisect_right(changes, begin)
            if at < len(changes):
                return changes[at] if changes[at] <= end else None
            year += 1
        return None

    def change_before(self, second: int) -> int | None:
        """The latest change at or before this second, if there was one in this year or the one before."""
        for year in (_year_of(second), _year_of(second) - 1):
            changes = self.changes(year)
            at = bisect_right(changes, second)
            if at:
                return changes[at - 1]
        return None

    def _changes(self, year: int) -> tuple[int, ...]:
        found = []
        begin, end = _second_of(year), _second_of(year + 1)
        before = self.offset(begin - 1)
        for step in range(begin, end, _STEP):
            after = self.offset(min(step + _STEP, end) - 1)
            if after != before:
                low, high = step - 1, min(step + _STEP, end) - 1
                while high - low > 1:
                    middle = (low + high) // 2
                    low, high = (middle, high) if self.offset(middle) == before else (low, middle)
                found.append(high)
                before = after
        return tuple(found)


@lru_cache(maxsize=_ZONES)
def _read(expression: str) -> _Cron:
    return _Cron(expression)


@lru_cache(maxsize=_ZONES)
def _zone(name: str) -> _Zone:
    return _Zone(name)


def _first(cron: _Cron, zone: _Zone, begin: int) -> int:
    """The first fire at or after `begin`, stretch by stretch between changes."""
    searched, found = 0, -1
    while True:
        offset = zone.offset(begin)
        if cron.appointments and _left_out(cron, zone, begin, offset):
            return begin
        local = _begin(cron, zone, begin, offset)
        if not searched <= local <= found:  # what was found for an earlier stretch is often the first of this one too
            searched, found = local, cron.match(local)
        fire = found - offset
        change = zone.change(begin, fire)
        if change is None:
            return fire
        begin = change


def _count(cron: _Cron, zone: _Zone, begin: int, end: int) -> int:
    fires = 0
    while begin < end:
        offset = zone.offset(begin)
        if cron.appointments and _left_out(cron, zone, begin, offset) and not cron.between(begin + offset, begin + offset + 1):
            fires += 1
        upto = zone.change(begin, end - 1) or end
        fires += cron.between(_begin(cron, zone, begin, offset), upto + offset)
        begin = upto
    return fires


def _begin(cron: _Cron, zone: _Zone, begin: int, offset: int) -> int:
    """The local time from which a stretch has its fires: appointments that are repeated had theirs."""
    local = begin + offset
    if cron.appointments and (change := zone.change_before(begin)) is not None:
        return max(local, change + zone.offset(change - 1))
    return local


def _left_out(cron: _Cron, zone: _Zone, begin: int, offset: int) -> bool:
    """Whether the clock is put forward in this very second, past a fire."""
    before = zone.offset(begin - 1)
    return before < offset and cron.between(begin + before, begin + offset) > 0


def _year_of(second: int) -> int:
    return datetime.fromtimestamp(second, UTC).year


def _second_of(year: int) -> int:
    return round(datetime(year, 1, 1, tzinfo=UTC).timestamp())
