-- Versions: the spans of moments in which a revision was the document. Each base of a table serves one span; a row is of the span of its own
-- base, or of that which holds its _ts; 0 is none.
CREATE OR REPLACE MACRO _archive.serving(state, base, ts) AS
  CASE WHEN base IS NOT NULL THEN coalesce(list_position(state.bases, base), 0)
    ELSE coalesce(list_position(list_transform(list_zip(state.bases, state.until), lambda served: served[1] < ts AND ts <= served[2]), true), 0) END;
-- The first moment after the span, or the end of all moments where the span reaches the one that is meant.
CREATE OR REPLACE MACRO _archive.served_to(state, span, ts) AS
  CASE WHEN state.until[span] < ts THEN state.until[span] + 1 ELSE 9223372036854775807 END;
-- Rounded up: so a TIMESTAMP lies in the same versions as its nanoseconds.
CREATE OR REPLACE MACRO _archive.rounded_up(ts) AS make_timestamp(ts // 1000 + CASE WHEN ts % 1000 > 0 THEN 1 ELSE 0 END);

