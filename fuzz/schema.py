"""Values that match a schema of the served OpenAPI document, so that the grammar of HTTP has all routes of the server."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING, Any

from fuzz import values

if TYPE_CHECKING:
    from fuzz.stock import Stock

Json = dict[str, Any]


class Sampler:
    """Draws values for the schemas of one document."""

    def __init__(self, described: Json) -> None:
        self._parts = described.get("components", {}).get("schemas", {})

    def draw(self, schema: Json, draw: Random, stock: Stock, named: str = "", depth: int = 0) -> Any:
        """One value. The name of a field matters as well as its type: a queue is one that exists, a pattern may be slow to
        match.
        """
        schema = self._resolved(schema, draw)
        known = _by_name(named, draw, stock)
        if known is not None and schema.get("type") != "object":
            return [known] if schema.get("type") == "array" else known
        if "enum" in schema:
            return draw.choice(schema["enum"])
        if "const" in schema:
            return schema["const"]
        kind = schema.get("type")
        kind = draw.choice(kind) if isinstance(kind, list) else kind
        if kind == "object" or "properties" in schema:
            return self._object(schema, draw, stock, depth)
        if kind == "array":
            few = min(schema.get("maxItems", 3), draw.choice([1, 1, 2, 3]))
            return [
                self.draw(schema.get("items", {}), draw, stock, named, depth + 1)
                for _ in range(max(few, schema.get("minItems", 0)))
            ]
        return _plain(kind, schema, draw)

    def _resolved(self, schema: Json, draw: Random) -> Json:
        while True:
            if "$ref" in schema:
                schema = self._parts[schema["$ref"].rpartition("/")[2]]
            elif ways := schema.get("oneOf") or schema.get("anyOf"):
                schema = draw.choice(ways)
            else:
                return schema

    def _object(self, schema: Json, draw: Random, stock: Stock, depth: int) -> Json:
        required = set(schema.get("required", ()))
        chance = 0.35 if depth < 2 else 0.1
        fields = {
            field: self.draw(part, draw, stock, field, depth + 1)
            for field, part in schema.get("properties", {}).items()
            if field in required or draw.random() < chance
        }
        return fields or {draw.choice(values.PATTERNS): draw.choice(values.PATTERNS) for _ in range(draw.randrange(3))}


def _by_name(named: str, draw: Random, stock: Stock) -> Any:
    match named:
        case "queue" | "queues" | "to":
            return values.name(draw)
        case "token":
            return stock.token(draw)
        case "ids" | "job_id":
            return stock.job(draw)
        case "cron":
            return draw.choice(values.CRONS)
        case "timezone":
            return draw.choice(values.ZONES)
        case "run_at":
            return draw.choice(values.INSTANTS)
        case "payload" | "data" | "result" | "progress":
            return values.payload(draw)
        case "match":
            return {draw.choice(values.PATTERNS): draw.choice(values.PATTERNS) for _ in range(draw.randrange(1, 4))}
        case "wait_ms":
            return draw.choice([0, 1, 20, 200])
        case "lease_ms":
            return draw.choice([1, 100, 5_000])
        case "max" | "credits" | "limit":
            return draw.choice([1, 2, 10, 1_000])
        case "interval_ms":
            return draw.choice([1_000, 60_000, 1 << 40])
    return None


def _plain(kind: str | None, schema: Json, draw: Random) -> Any:
    if kind == "integer":
        low, high = schema.get("minimum", 0), schema.get("maximum", 1 << 40)
        return draw.choice([low, high, min(high, low + 1), draw.randint(low, min(high, low + 1_000))])
    if kind == "number":
        return draw.choice([schema.get("minimum", 0.0), schema.get("maximum", 1.0), 0.5])
    if kind == "boolean":
        return draw.random() < 0.5
    if kind == "null":
        return None
    if kind == "string":
        return draw.choice(["x", "mail", "a-b", draw.choice(values.TEXTS)])
    return values.payload(draw)
