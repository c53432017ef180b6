UPDATE leased SET until = ?, cancel = ? WHERE fence = ? AND job = ? AND attempt = ?
