{{/* The statement that makes a batch. It has the parts that the batch needs, see variant. @name is a parameter. */ -}}
WITH lane AS (
    UPDATE lanes SET batch = @number WHERE ctid = @place AND incarnation = @incarnation AND lane = @lane AND batch = @number - 1
    RETURNING NOT fenced AS ours, ctid AS place{{if or .Accepts .Updates}}, nextval('positions') << 20 AS position{{end}}
), appended AS (
    INSERT INTO events (handle, first, events, record)
    SELECT c.handle, c.first, c.events, c.record
    FROM lane, unnest(@commit_handle::uuid[], @commit_first::bigint[], @commit_events::int[], @commit_record::bytea[], @commit_owned::boolean[])
        AS c (handle, first, events, record, owned)
    WHERE (lane.ours OR NOT c.owned)
    {{- if .Continues}} AND (c.first = 1 OR (
        SELECT e.first + e.events = c.first FROM events e
        WHERE e.handle = c.handle AND e.first < c.first AND e.handle BETWEEN @oldest AND @newest ORDER BY e.first DESC LIMIT 1))
    {{- end}}
    RETURNING handle, first
)
{{- if or .Accepts .Updates}}, changes AS (
    SELECT r.handle, r.id, r.partition, r.content_hash, r.row, r.opens, r.open, r.intake, NULLIF(r.name, @none) AS name,
        NULLIF(r.key, @none) AS key, NULLIF(r.ended_badly, 0) AS ended_badly, r.in_doubt,
        CASE WHEN r.due <> 0 THEN GREATEST(r.due, 0) END AS due, NULLIF(r.queue, @none) AS queue, lane.position + r.place AS position
    FROM lane, unnest(
        @handle::uuid[], @id::bytea[], @partition::smallint[], @hash::bytea[], @row::bytea[], @opens::smallint[], @open::bytea[],
        @intake::boolean[], @name::uuid[], @key::uuid[], @ended_badly::smallint[], @in_doubt::boolean[], @due::bigint[],
        @queue::uuid[], @queue_place::int[])
        AS r (handle, id, partition, content_hash, row, opens, open, intake, name, key, ended_badly, in_doubt, due, queue, place)
    JOIN appended USING (handle)
)
{{- if .Counts}}, counted AS (
    INSERT INTO fallout (faulted, in_doubt)
    SELECT faulted, in_doubt FROM (
        SELECT sum((c.ended_badly IS NOT DISTINCT FROM @faulted)::int - (o.ended_badly IS NOT DISTINCT FROM @faulted)::int) AS faulted,
            sum(c.in_doubt::int - COALESCE(o.in_doubt, false)::int) AS in_doubt
        FROM changes c LEFT JOIN orders o ON c.id IS NULL AND o.handle = c.handle WHERE c.row IS NOT NULL
    ) AS by WHERE faulted <> 0 OR in_doubt <> 0
)
{{- end}}
{{- end}}
{{- if .Accepts}}, accepted AS (
    INSERT INTO orders (handle, id, partition, content_hash, row, open, intake, name, key, ended_badly, in_doubt, due, queue, position)
    SELECT handle, id, partition, content_hash, row, open, intake, name, key, ended_badly, in_doubt, due, queue,
        CASE WHEN queue IS NOT NULL THEN position END
    FROM changes WHERE id IS NOT NULL
)
{{- end}}
{{- if .Updates}}, changed AS (
    UPDATE orders o SET
        row = COALESCE(c.row, o.row),
        ended_badly = CASE WHEN c.row IS NULL THEN o.ended_badly ELSE c.ended_badly END,
        in_doubt = CASE WHEN c.row IS NULL THEN o.in_doubt ELSE c.in_doubt END,
        open = CASE c.opens WHEN 0 THEN o.open ELSE c.open END,
        due = CASE c.opens WHEN 0 THEN o.due ELSE c.due END,
        queue = CASE c.opens WHEN 0 THEN o.queue ELSE c.queue END,
        position = CASE WHEN c.opens = 0 OR c.queue = o.queue THEN o.position WHEN c.queue IS NOT NULL THEN c.position END,
        intake = false
    FROM changes c WHERE c.id IS NULL AND o.handle = c.handle
), refilled AS (
    DELETE FROM overflow v USING changes c WHERE c.id IS NULL AND c.opens <> 0 AND v.handle = c.handle
)
{{- end}}
{{- if .Takes}}, taken AS (
    UPDATE orders o SET intake = false FROM appended a
    WHERE a.first = 2 AND o.handle = a.handle AND o.intake
    {{- if or .Accepts .Updates}} AND NOT EXISTS (SELECT FROM changes c WHERE c.handle = a.handle){{end}}
)
{{- end}}
{{- if .Labels}}, labelled AS (
    INSERT INTO labels (label, handle)
    SELECT DISTINCT l.label, l.handle FROM unnest(@label::uuid[], @label_handle::uuid[]) AS l (label, handle) JOIN appended USING (handle)
)
{{- end}}
{{- if .Overflows}}, overflowed AS (
    INSERT INTO overflow (activity, priority, partition, at, frame, handle, bytes)
    SELECT v.activity, v.priority, v.partition, v.at, v.frame, v.handle, v.bytes
    FROM unnest(@overflow_activity::uuid[], @overflow_priority::smallint[], @overflow_partition::smallint[], @overflow_at::bigint[],
        @overflow_frame::bigint[], @overflow_handle::uuid[], @overflow_bytes::bigint[])
        AS v (activity, priority, partition, at, frame, handle, bytes)
    JOIN appended USING (handle)
)
{{- end}}
{{- if .Releases}}, released AS (
    UPDATE partitions p SET owner = NULL
    FROM lane, unnest(@release_partition::smallint[], @release_epoch::bigint[]) AS r (partition, epoch)
    WHERE lane.ours AND p.partition = r.partition AND p.epoch = r.epoch AND p.owner = @incarnation
    RETURNING p.partition
)
{{- end}}
SELECT (SELECT ours FROM lane), (SELECT place FROM lane),
    CASE WHEN (SELECT count(*) FROM appended) < cardinality(@commit_handle) THEN ARRAY (SELECT handle FROM appended) END,
    {{if .Releases}}ARRAY (SELECT partition FROM released){{else}}'{}'::smallint[]{{end}}
