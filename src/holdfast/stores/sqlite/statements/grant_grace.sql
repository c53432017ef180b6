UPDATE leased SET until = ?1 WHERE fence IN (SELECT fence FROM leased WHERE until < ?1 ORDER BY until LIMIT ?2)
