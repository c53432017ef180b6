-- When time has something to do next. $1: below this every lease and every scheduled job was seen to already. $2: queues that others hold.
SELECT least((SELECT min(until) FROM leased WHERE until >= $1 AND queue <> ALL($2::int[])), (SELECT min(ready_at) FROM scheduled WHERE ready_at >= $1 AND queue <> ALL($2::int[])),
             (SELECT min(try_at) FROM schedule WHERE NOT paused))
