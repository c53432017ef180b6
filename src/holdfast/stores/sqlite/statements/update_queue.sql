UPDATE queue SET settings = ?, paused = ? WHERE id = ?
