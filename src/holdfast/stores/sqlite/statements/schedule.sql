SELECT state FROM schedule WHERE name = ?
