"""What docs/protocol.md promises, read out of its text: examples, tables, clients, schemas."""

import json
import os
import re
from pathlib import Path

from jsonschema import Draft202012Validator

DOCS = Path(os.environ["TEST_DOCS"])
TEXT = (DOCS / "protocol.md").read_text(encoding="utf-8")
VERSIONS = ("v1", "v2")
SIDES = ("server", "client")


def block(info):
    """The one fenced block that begins with this line."""
    found = re.findall(r"^```%s\n(.*?)^```$" % re.escape(info), TEXT, re.M | re.S)
    assert len(found) == 1, "%d blocks are called %r" % (len(found), info)
    return found[0]


def examples(version, side):
    return block("json %s %s" % (version, side)).splitlines()


def first_column(heading):
    """The first cell of each row of the first table below a heading, without its backquotes."""
    section = TEXT.split("\n## %s\n" % heading)[1].split("\n## ")[0]
    rows = re.findall(r"^\| `?([^|`]+?)`? \|", section, re.M)
    return [row for row in rows if row not in ("code", "---", "type")]


def clients(folder):
    """Writes the documented clients into files, as they stand in the text."""
    folder.mkdir(parents=True, exist_ok=True)
    for info in ("js client.mjs", "js chat.mjs", "python chat.py"):
        (folder / info.split()[1]).write_text(block(info), encoding="utf-8")
    return folder


def validator(version, side):
    schema = json.loads((DOCS / "schema" / (version + ".json")).read_text(encoding="utf-8"))
    Draft202012Validator.check_schema(schema)
    del schema["anyOf"]
    return Draft202012Validator({**schema, "$ref": "#/$defs/" + side})


def server_types(version):
    """The types of frames that a schema knows the server to send."""
    schema = json.loads((DOCS / "schema" / (version + ".json")).read_text(encoding="utf-8"))
    return {each["$ref"].rsplit("/", 1)[1] for each in schema["$defs"]["server"]["oneOf"]}


if __name__ == "__main__":
    import sys

    clients(Path(sys.argv[1]))
