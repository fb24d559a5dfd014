URL = $URL
TABLE = $TABLE
SCHEMA = $SCHEMA
FORMAT = $FORMAT
READERS = $READERS
EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc)


def files_at(at, url, read):
    """The files in which the table is at a moment, those that count more behind; the _ts of their base; the _ts of the moment."""
    manifest = json.loads(read(f"{url}/manifest.json"))
    words = [f"`{word}`" for word in manifest["needs"]["readers"] if word not in READERS]
    if manifest["format"] > FORMAT or words:
        more = ", ".join(words) or "a newer format"
        why = f"this archive was written by {manifest['program']} and needs a reader that supports {more}"
        raise ValueError(f"{why}: create the script with that program or a newer one")
    lines = zip(manifest["tables"], manifest["covered"])
    table, place = next((line["table"], place) for line, place in lines if line["table"]["table"] == TABLE)
    if table["schema"]["schema"] != SCHEMA:
        raise ValueError(f"table {TABLE['name']} has had other columns since this script was created: create the script again")
    if at is None:
        at = int(manifest["cursor"]["ts"])
    elif isinstance(at, datetime.datetime):
        at = at if at.tzinfo else at.replace(tzinfo=datetime.timezone.utc)
        at = (at - EPOCH) // datetime.timedelta(microseconds=1) * 1000
    shown = lambda ts: f"{EPOCH + datetime.timedelta(microseconds=ts // 1000)} (_ts {ts})"
    spans = [(int(span["from"]), int(span["to"])) for span in manifest["coverage"][place]["covered"]]
    if not any(start <= at <= end for start, end in spans):
        covered = ", ".join(f"{shown(start)} to {shown(end)}" for start, end in spans) or "(none, yet)"
        raise ValueError(f"table {TABLE['name']} is not covered at {shown(at)}: choose a moment in {covered}")
    base, s = [(base["id"], int(base["ts"])) for base in manifest["coverage"][place]["bases"] if int(base["ts"]) <= at][-1]
    parts = [f"{url}/parts/{table['folder']}/{month}/{part['version']:020}.jsonl.gz" for month, part in table.get("months", {}).items()]
    files = [json.loads(line) for part in parts for line in read(part).split("\n") if line]
    later = lambda file: s < int(file["max_ts"]) and int(file["min_ts"]) <= at
    files = [file for file in files if (file["base"] == base if "base" in file else later(file))]
    # Of two rows with one _id and _ts one that came with types counts.
    files.sort(key=lambda file: (file["encoding"] != "json", file["path"]))
    return [f"{url}/{file['path']}" for file in files], s, at
