    SELECT c.incarnation, c.lane, c.batch, c.generation, l.batch AS has
    FROM meta m, unnest($1::text[], $2::smallint[], $3::bigint[], $4::bigint[]) AS c (incarnation, lane, batch, generation)
    LEFT JOIN lanes l ON l.incarnation = c.incarnation AND l.lane = c.lane
    WHERE c.generation > m.generation OR c.generation = m.generation AND COALESCE(l.batch, 0) < c.batch
        AND NOT EXISTS (SELECT FROM lanes w WHERE w.incarnation = c.incarnation AND w.lane = -1 AND w.batch = $5)
