WITH server AS (
    SELECT ('x' || left(pg_walfile_name(pg_current_wal_insert_lsn()), 8))::bit(32)::bigint AS timeline, m.generation, m.journal FROM meta m
), lost AS (
@lost
    ORDER BY lane DESC LIMIT 1
), written AS (
    UPDATE lanes SET batch = lanes.batch + 1 FROM server
    WHERE incarnation = $6 AND lane = $7 AND server.timeline >= $8 AND NOT EXISTS (SELECT FROM lost) AND lanes.batch < $5
    RETURNING lanes.batch - 1 AS last, lanes.fenced
)
SELECT server.timeline, server.generation, server.journal, lost.incarnation, lost.lane, lost.batch, lost.generation, lost.has,
    written.last, written.fenced
FROM server LEFT JOIN lost ON true LEFT JOIN written ON true
