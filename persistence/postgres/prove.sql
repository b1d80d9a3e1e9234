WITH server AS (
    SELECT ('x' || left(pg_walfile_name(pg_current_wal_insert_lsn()), 8))::bit(32)::bigint AS timeline
), lost AS (
    SELECT l.lane, c.confirmed, l.batch
    FROM unnest($3::smallint[], $4::bigint[]) AS c (lane, confirmed) JOIN lanes l ON l.incarnation = $1 AND l.lane = c.lane
    WHERE l.batch < c.confirmed LIMIT 1
), written AS (
    UPDATE lanes SET batch = lanes.batch + 1 FROM server
    WHERE incarnation = $1 AND lane = $2 AND server.timeline >= $5 AND NOT EXISTS (SELECT FROM lost)
    RETURNING lanes.batch - 1 AS last
)
SELECT server.timeline, lost.lane, lost.confirmed, lost.batch, written.last FROM server LEFT JOIN lost ON true LEFT JOIN written ON true
