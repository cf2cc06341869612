"""Schemas → JSON Schema and the record manual: rendered from the declarations that the sensor writes by."""
from typing import Any

from cext.record import FieldDoc, Schema
from cext.writer import ENVELOPE_FIELDS, IDENTITY_FIELDS

JSON_TYPES: dict[str, dict[str, Any]] = {
    "time": {"type": "number"},
    "interval": {"type": "number"},
    "real": {"type": "number"},
    "count": {"type": "integer", "minimum": 0},
    "int": {"type": "integer"},
    "bool": {"type": "boolean"},
    "text": {"type": "string"},
    "addr": {"type": "string", "anyOf": [{"format": "ipv4"}, {"format": "ipv6"}]},
    "port": {"type": "integer", "minimum": 0, "maximum": 65535},
    "vector of text": {"type": "array", "items": {"type": "string"}},
    "vector of count": {"type": "array", "items": {"type": "integer", "minimum": 0}},
}
COMMON = (FieldDoc("_path", "text", "Kind of the record.", 0, False, "Zeek"),
          FieldDoc("ts", "time", "When it began, in seconds since 1970 with six decimals.", 0, False,
                   "packet times"))
CUT = FieldDoc("_cut", "vector of text", "Fields that were longer than their maximum.", 0, False, "")
WITHOUT_FLOW = ("stats", "x509")
OF_SESSIONS = ("tunnel", "capture_loss")       # of a mirror session, which has an envelope, but no ends


def all_fields(schema: Schema) -> list[FieldDoc]:
    """The fields of a line in the order of the line."""
    identity = [] if schema.name in WITHOUT_FLOW else IDENTITY_FIELDS
    if schema.name in OF_SESSIONS:
        identity = [field for field in IDENTITY_FIELDS if field.name in ENVELOPE_FIELDS]
    return [*COMMON, *identity, *schema.fields, CUT]


def json_schema(schema: Schema) -> dict[str, Any]:
    """A JSON Schema (2020-12) that every line of the kind is valid by, and nothing else."""
    properties: dict[str, Any] = {}
    for field in all_fields(schema):
        about = JSON_TYPES[field.kind] | {"description": field.doc}
        if field.kind == "vector of text" and field.max:
            about["maxItems"] = field.max
        if field.secret:
            about["description"] += " Secret: written only when asked for."
        if field.source:
            about["description"] += f" Source: {field.source}."
        properties[field.name] = about
    properties["_path"]["const"] = schema.name
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": schema.name,
        "description": schema.doc,
        "type": "object",
        "properties": properties,
        "required": ["_path", "ts"] + ([] if schema.name in WITHOUT_FLOW + OF_SESSIONS else
                                       ["uid", "id.orig_h", "id.orig_p", "id.resp_h", "id.resp_p"]),
        "additionalProperties": False,
    }


def table(fields: list[FieldDoc]) -> str:
    """A Markdown table of fields, with a column for their sources where they have some."""
    if not any(field.source for field in fields):
        rows = [f"| `{field.name}` | {field.kind} | {describe(field)} |" for field in fields]
        return "\n".join(["| field | kind | meaning |", "| --- | --- | --- |", *rows])
    rows = [f"| `{field.name}` | {field.kind} | {describe(field)} | {field.source} |" for field in fields]
    return "\n".join(["| field | kind | meaning | source |", "| --- | --- | --- | --- |", *rows])


def describe(field: FieldDoc) -> str:
    limit = f" At most {field.max} {'bytes' if field.kind == 'text' else 'items'}." if field.max else ""
    return field.doc.replace("|", "\\|") + limit + (" **Secret.**" if field.secret else "")


def markdown(schema: Schema) -> str:
    """The manual page of one kind: its own fields."""
    return f"## {schema.name}\n\n{schema.doc}\n\n{table(schema.fields)}\n"


def manual(schemas: dict[str, Schema]) -> str:
    """The whole record manual."""
    parts = [
        "# Records\n\nRendered by `cloudmri schema --markdown`; do not edit.\n",
        "A record is one JSON object on one line, or one msgpack map. A field that is not known is absent. Text is "
        "valid UTF-8 whatever the wire held: bytes that are not are written as `\\xHH`, and a backslash that stood "
        "before `x` and two hex digits as `\\x5c`, so that the bytes can be told. A text longer than its maximum is "
        "cut, and `_cut` names its field. Fields marked secret are written only with `--secrets`.\n",
        "A time is in seconds since 1970 (UTC), an interval in seconds, both with six decimals; a count says what it "
        "counts. The source of a field is the RFC and section, or the other document, that its meaning stands in; "
        "Zeek, where the meaning is Zeek's; packets, packet times or content, where the sensor counts, measures or "
        "infers it.\n",
        "## Every record\n\n" + table([*COMMON, *IDENTITY_FIELDS, CUT])
        + "\n\n`stats` and `x509` records belong to no flow: they have `_path` and `ts` alone of these; "
        "`tunnel` and `capture_loss` those of the envelope, too.\n",
        *(markdown(schema) for schema in schemas.values()),
    ]
    return "\n".join(parts)
