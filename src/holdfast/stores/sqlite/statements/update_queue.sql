UPDATE queue SET settings = ?, paused = ?, paused_types = ?, typed = ? WHERE id = ?
