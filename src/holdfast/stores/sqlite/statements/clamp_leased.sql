UPDATE leased SET until = ?1 WHERE until > ?1
