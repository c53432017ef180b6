DELETE FROM progress WHERE job = ?
