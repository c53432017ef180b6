UPDATE queue SET settings = ?, paused = ?, paused_types = ?, typed = ?, sharing = ? WHERE id = ?
