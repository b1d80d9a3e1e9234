WITH lane AS (
    UPDATE lanes SET batch = $3 WHERE incarnation = $1 AND lane = $2 AND batch = $3 - 1
    RETURNING NOT fenced AS ours, nextval('positions') << 20 AS position
), appended AS (
    INSERT INTO events (handle, first, events, record)
    SELECT c.handle, c.first, c.events, c.record
    FROM lane, unnest($4::uuid[], $5::bigint[], $6::int[], $7::bytea[], $8::boolean[]) AS c (handle, first, events, record, owned)
    WHERE (lane.ours OR NOT c.owned) AND (c.first = 1 OR (
        SELECT e.first + e.events = c.first FROM events e
        WHERE e.handle = c.handle AND e.first < c.first ORDER BY e.first DESC LIMIT 1))
    RETURNING handle, first
), changes AS (
    SELECT r.handle, r.id, r.partition, r.content_hash, r.row, r.opens, r.open, r.intake, NULLIF(r.name, $35) AS name, NULLIF(r.key, $35) AS key,
        NULLIF(r.ended_badly, 0) AS ended_badly, r.in_doubt, CASE WHEN r.due <> 0 THEN GREATEST(r.due, 0) END AS due,
        NULLIF(r.queue, $35) AS queue, lane.position + r.place AS position
    FROM lane, unnest(
        $9::uuid[], $10::bytea[], $11::smallint[], $12::bytea[], $13::bytea[], $14::smallint[], $15::bytea[], $16::boolean[],
        $17::uuid[], $18::uuid[], $19::smallint[], $20::boolean[], $21::bigint[], $22::uuid[], $23::int[])
        AS r (handle, id, partition, content_hash, row, opens, open, intake, name, key, ended_badly, in_doubt, due, queue, place)
    JOIN appended USING (handle)
), accepted AS (
    INSERT INTO orders (handle, id, partition, content_hash, row, open, intake, name, key, ended_badly, in_doubt, due, queue, position)
    SELECT handle, id, partition, content_hash, row, open, intake, name, key, ended_badly, in_doubt, due, queue,
        CASE WHEN queue IS NOT NULL THEN position END
    FROM changes WHERE id IS NOT NULL
), changed AS (
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
), taken AS (
    UPDATE orders o SET intake = false FROM appended a
    WHERE a.first = 2 AND o.handle = a.handle AND o.intake AND NOT EXISTS (SELECT FROM changes c WHERE c.handle = a.handle)
), labelled AS (
    INSERT INTO labels (label, handle)
    SELECT DISTINCT l.label, l.handle FROM unnest($24::uuid[], $25::uuid[]) AS l (label, handle) JOIN appended USING (handle)
), refilled AS (
    DELETE FROM overflow v USING changes c WHERE c.id IS NULL AND c.opens <> 0 AND v.handle = c.handle
), overflowed AS (
    INSERT INTO overflow (activity, priority, partition, at, frame, handle, bytes)
    SELECT v.activity, v.priority, v.partition, v.at, v.frame, v.handle, v.bytes
    FROM unnest($26::uuid[], $27::smallint[], $28::smallint[], $29::bigint[], $30::bigint[], $31::uuid[], $32::bigint[])
        AS v (activity, priority, partition, at, frame, handle, bytes)
    JOIN appended USING (handle)
), counted AS (
    INSERT INTO fallout (faulted, in_doubt)
    SELECT faulted, in_doubt FROM (
        SELECT sum((c.ended_badly IS NOT DISTINCT FROM $36)::int - (o.ended_badly IS NOT DISTINCT FROM $36)::int) AS faulted,
            sum(c.in_doubt::int - COALESCE(o.in_doubt, false)::int) AS in_doubt
        FROM changes c LEFT JOIN orders o ON c.id IS NULL AND o.handle = c.handle WHERE c.row IS NOT NULL
    ) AS by WHERE faulted <> 0 OR in_doubt <> 0
), released AS (
    UPDATE partitions p SET owner = NULL
    FROM lane, unnest($33::smallint[], $34::bigint[]) AS r (partition, epoch)
    WHERE lane.ours AND p.partition = r.partition AND p.epoch = r.epoch AND p.owner = $1
    RETURNING p.partition
)
SELECT (SELECT ours FROM lane),
    CASE WHEN (SELECT count(*) FROM appended) < cardinality($4) THEN ARRAY (SELECT handle FROM appended) END,
    ARRAY (SELECT partition FROM released)
