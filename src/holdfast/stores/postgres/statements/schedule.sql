SELECT state FROM schedule WHERE name = $1
