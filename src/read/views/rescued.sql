-- A struct, none of whose fields are read alone.
CREATE OR REPLACE MACRO _archive.whole(struct) AS CASE WHEN struct IS NOT NULL THEN struct END;

-- What a row rescued: the value at a path, whose JSON Pointer in the cell is `pointer`.
CREATE OR REPLACE MACRO _archive.at(cell, pointer) AS json_extract(cell, pointer);
-- The same, for the path itself.
CREATE OR REPLACE MACRO _archive.cell_at(cell, path) AS json_extract(cell, '/' || replace(replace(path, '~', '~0'), '/', '~1'));
-- Doubles that JSON has no number for, and bytes, are objects (see FORMAT.md); all other objects are values of their own.
-- (A NaN of other bits than DuckDB's is no double here.)
CREATE OR REPLACE MACRO _archive.is_float64(value) AS coalesce(json_type(value) = 'DOUBLE'
  OR json_extract_string(value, '$."$float"') IN ('AAAAAAAA8H8=', 'AAAAAAAA8P8=', 'AAAAAAAA+H8='), false);
CREATE OR REPLACE MACRO _archive.float64(value) AS CASE json_extract_string(value, '$."$float"')
  WHEN 'AAAAAAAA8H8=' THEN 'inf'::DOUBLE WHEN 'AAAAAAAA8P8=' THEN '-inf'::DOUBLE WHEN 'AAAAAAAA+H8=' THEN 'nan'::DOUBLE
  ELSE CAST(value AS DOUBLE) END;
CREATE OR REPLACE MACRO _archive.is_bytes(value) AS json_exists(value, '$."$bytes"');
CREATE OR REPLACE MACRO _archive.bytes(value) AS from_base64(json_extract_string(value, '$."$bytes"'));
-- Whether an object has no other keys than these.
CREATE OR REPLACE MACRO _archive.has_only(value, names) AS
  len(list_filter(json_keys(value), lambda key: NOT list_contains(names, key))) = 0;
-- A name as it was, where it is one; the rest of a path stays as it is.
CREATE OR REPLACE MACRO _archive.key(rest) AS CASE WHEN contains(rest, '/') THEN rest ELSE replace(replace(rest, '~1', '/'), '~0', '~') END;
CREATE OR REPLACE MACRO _archive.is_at(path, other) AS path = other OR starts_with(path, other || '/');
CREATE OR REPLACE MACRO _archive.object(entries) AS CASE WHEN len(entries) > 0 THEN to_json(map_from_entries(entries)) END;
-- All that lies neither at nor below these paths, as it is.
CREATE OR REPLACE MACRO _archive.others(cell, paths) AS _archive.object(list_transform(
  list_filter(json_keys(cell), lambda path: len(list_filter(paths, lambda other: _archive.is_at(path, other))) = 0),
  lambda path: {'key': path, 'value': _archive.cell_at(cell, path)}));
-- All that lies below a path, `inside` being that with a slash, but for these paths: its keys and values.
CREATE OR REPLACE MACRO _archive.below(cell, inside, but) AS list_transform(
  list_filter(json_keys(cell), lambda path: starts_with(path, inside)
    AND len(list_filter(but, lambda other: _archive.is_at(path, other))) = 0),
  lambda path: {'key': _archive.key(substr(path, length(inside) + 1)),
    'value': _archive.cell_at(cell, path)});
-- What an object has under other names than these, but for nulls: its keys and values.
CREATE OR REPLACE MACRO _archive.unknown(object, names) AS list_transform(
  list_filter(json_keys(object), lambda key: NOT list_contains(names, key) AND json_type(_archive.cell_at(object, key)) <> 'NULL'),
  lambda key: {'key': key, 'value': _archive.cell_at(object, key)});
-- The paths of the nulls in an object that stands at a path, but for these names.
CREATE OR REPLACE MACRO _archive.nulls_in(object, path, but) AS list_transform(
  list_filter(json_keys(object), lambda key: NOT list_contains(but, key) AND json_type(_archive.cell_at(object, key)) = 'NULL'),
  lambda key: path || '/' || replace(replace(key, '~', '~0'), '/', '~1'));
CREATE OR REPLACE MACRO _archive.nulls(cell, rescued, more) AS CASE WHEN rescued IS NULL OR coalesce(len(more), 0) = 0 THEN CAST(cell AS JSON)
  ELSE to_json(list_sort(list_concat(from_json(cell, '["VARCHAR"]'), more))) END;
-- (What begins with a dollar sign is a double or bytes.)
CREATE OR REPLACE MACRO _archive.is_object(value) AS json_type(value) = 'OBJECT' AND NOT starts_with(coalesce(json_keys(value)[1], ''), '$');
CREATE OR REPLACE MACRO _archive.entry(name, value) AS CASE WHEN value IS NULL THEN [] ELSE [{'key': name, 'value': value}] END;

