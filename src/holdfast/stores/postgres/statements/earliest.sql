-- When time has something to do next. $1: below this every lease and every scheduled job was seen to already.
SELECT least((SELECT min(until) FROM leased WHERE until >= $1), (SELECT min(ready_at) FROM scheduled WHERE ready_at >= $1),
             (SELECT min(try_at) FROM schedule WHERE NOT paused))
