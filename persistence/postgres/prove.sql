WITH server AS (
    SELECT ('x' || left(pg_walfile_name(pg_current_wal_insert_lsn()), 8))::bit(32)::bigint AS timeline, m.generation, m.journal FROM meta m
), lost AS (
    SELECT c.incarnation, c.lane, c.batch, l.batch AS has
    FROM server, unnest($3::text[], $4::smallint[], $5::bigint[], $6::bigint[]) AS c (incarnation, lane, batch, generation)
    LEFT JOIN lanes l ON l.incarnation = c.incarnation AND l.lane = c.lane
    WHERE c.generation > server.generation OR c.generation = server.generation AND COALESCE(l.batch, 0) < c.batch
        AND NOT EXISTS (SELECT FROM lanes w WHERE w.incarnation = c.incarnation AND w.lane = -1 AND w.batch = $8)
    ORDER BY c.lane DESC LIMIT 1
), written AS (
    UPDATE lanes SET batch = lanes.batch + 1 FROM server
    WHERE incarnation = $1 AND lane = $2 AND server.timeline >= $7 AND NOT EXISTS (SELECT FROM lost) AND lanes.batch < $8
    RETURNING lanes.batch - 1 AS last
)
SELECT server.timeline, server.generation, server.journal, lost.incarnation, lost.lane, lost.batch, lost.has, written.last
FROM server LEFT JOIN lost ON true LEFT JOIN written ON true
