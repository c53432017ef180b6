SELECT id FROM audit WHERE run = $1
